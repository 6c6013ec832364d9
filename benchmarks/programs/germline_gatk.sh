# The GATK workflow by hand: germline_gatk.sh JAR READS OUT CORES SAMPLE…
# GATK is started as its own script starts it.
set -euo pipefail
export jar=$1 reads=$2
out=$3 cores=$4
shift 4
samples=("$@")
gatk() {
    java -Xmx2g -Dsamjdk.use_async_io_read_samtools=false -Dsamjdk.use_async_io_write_samtools=true \
        -Dsamjdk.use_async_io_write_tribble=false -Dsamjdk.compression_level=2 -jar "$jar" "$@"
}
export -f gatk

cd "$out"
cp "$reads/reference.fa" "$reads/known.vcf" .
samtools faidx reference.fa
samtools dict - < reference.fa > reference.dict
bwa index -p index reference.fa
gatk IndexFeatureFile -I known.vcf

sample() {
    bwa mem -K 100000000 -R "@RG\tID:$1.1\tSM:$1\tLB:$1\tPL:ILLUMINA\tPU:$1.1" \
        index "$reads/$1"_R1.fastq.gz "$reads/$1"_R2.fastq.gz | samtools view -b -o "$1.bam" -
    gatk SortSam -I "$1.bam" -O "$1.sorted.bam" --SORT_ORDER coordinate --CREATE_INDEX true
    gatk MarkDuplicates -I "$1.sorted.bam" -O "$1.markdup.bam" -M "$1.metrics" --CREATE_INDEX true
    gatk BaseRecalibrator -R reference.fa -I "$1.markdup.bam" -O "$1.table" --known-sites known.vcf
    gatk ApplyBQSR -R reference.fa -I "$1.markdup.bam" --bqsr-recal-file "$1.table" -O "$1.recalibrated.bam"
    gatk HaplotypeCaller -R reference.fa -I "$1.recalibrated.bam" -O "$1.g.vcf.gz" --emit-ref-confidence GVCF \
        --native-pair-hmm-threads 1
    printf '%s\t%s\n' "$1" "$1.g.vcf.gz" > "$1.map"
}
export -f sample
printf '%s\n' "${samples[@]}" | xargs -P "$cores" -I {} bash -euo pipefail -c 'sample {}'

cat "${samples[@]/%/.map}" > samples.map
awk '{ print $1 "\t0\t" $2 }' reference.fa.fai > everywhere.bed
gatk GenomicsDBImport --genomicsdb-workspace-path workspace --sample-name-map samples.map -L everywhere.bed
gatk GenotypeGVCFs -R reference.fa -V gendb://workspace -O genotyped.vcf.gz -L everywhere.bed \
    --only-output-calls-starting-in-intervals
snv='vc.isSNP() &&' other='!vc.isSNP() &&'
gatk VariantFiltration -R reference.fa -V genotyped.vcf.gz -O filtered.vcf.gz \
    --filter-expression "$snv QD < 2.0" --filter-name SNP_QD2 \
    --filter-expression "$snv QUAL < 30.0" --filter-name SNP_QUAL30 \
    --filter-expression "$snv SOR > 3.0" --filter-name SNP_SOR3 \
    --filter-expression "$snv FS > 60.0" --filter-name SNP_FS60 \
    --filter-expression "$snv MQ < 40.0" --filter-name SNP_MQ40 \
    --filter-expression "$snv MQRankSum < -12.5" --filter-name SNP_MQRankSum-12.5 \
    --filter-expression "$snv ReadPosRankSum < -8.0" --filter-name SNP_ReadPosRankSum-8 \
    --filter-expression "$other QD < 2.0" --filter-name INDEL_QD2 \
    --filter-expression "$other QUAL < 30.0" --filter-name INDEL_QUAL30 \
    --filter-expression "$other FS > 200.0" --filter-name INDEL_FS200 \
    --filter-expression "$other ReadPosRankSum < -20.0" --filter-name INDEL_ReadPosRankSum-20
bcftools norm -f reference.fa -Ou filtered.vcf.gz |
    bcftools view -s "$(IFS=,; echo "${samples[*]}")" -Oz -o cohort.vcf.gz -
bcftools index -t cohort.vcf.gz
