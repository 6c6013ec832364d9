# Embedded tools in a pipeline by hand: germline.sh PYTHON REFERENCE READS OUT SAMPLE…
set -euo pipefail
python=$1 reads=$3 out=$4
shift 4
samples=("$@")
tool() { "$python" -m stargazer.embedded "$@"; }
export -f tool
export python

cd "$out"
tool samtools faidx reference.fa
tool samtools dict - < reference.fa > reference.dict
tool bwa index -p index reference.fa

for sample in "${samples[@]}"; do
    tool bwa mem -t 2 -K 100000000 -R "@RG\tID:$sample.1\tSM:$sample\tLB:$sample\tPL:ILLUMINA\tPU:$sample.1" \
        index "$reads/$sample"_R1.fastq.gz "$reads/$sample"_R2.fastq.gz |
        tool samtools fixmate --no-PG -m -u - - |
        tool samtools sort --no-PG -@ 1 -m 512M -u - |
        tool samtools markdup --no-PG -S -d 100 - "$sample.bam"
    tool samtools index -b "$sample.bam" "$sample.bam.bai"
done

gvcf() {
    tool bcftools mpileup --no-version --config illumina --min-ireads 1 --max-depth 1000 \
        --gvcf 0,1,2,3,4,5,6,8,10,15,20,30 --annotate FORMAT/AD,FORMAT/DP,FORMAT/SP \
        -Oz -o "$1.g.vcf.gz" -f reference.fa "$1.bam"
    tool bcftools index -t -o "$1.g.vcf.gz.tbi" "$1.g.vcf.gz"
}
export -f gvcf
printf '%s\n' "${samples[@]}" | xargs -P 2 -I {} bash -c 'gvcf {}'

tool bcftools merge --gvcf reference.fa --no-version -Ou "${samples[@]/%/.g.vcf.gz}" |
    tool bcftools call --no-version -m -v -a GQ -Ou - |
    tool bcftools norm --no-version -f reference.fa -Oz -o cohort.vcf.gz -
tool bcftools index -t -o cohort.vcf.gz.tbi cohort.vcf.gz
