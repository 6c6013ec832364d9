// gateway.mjs FOLDER CAR: serve what a CAR holds, and what lies in a folder, as Helia's own reader gives it.
// The first line that is printed has the address, the roots of the CAR, and the CIDs that Helia gives the files.
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { CarReader } from '@ipld/car'
import { unixfs } from '@helia/unixfs'
import { createVerifiedFetchWithHelia } from '@helia/verified-fetch'
import { createHeliaLight } from 'helia'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'

const [folder, car] = process.argv.slice(2)

// A broker that has nothing: without one Helia would look for other nodes.
const nothing = () => {
  const broker = {
    name: 'nothing',
    retrieve: async () => { const error = new Error('not found'); error.name = 'NotFoundError'; throw error },
    createSession () { return broker },
    addPeer () {}
  }
  return broker
}

const helia = createHeliaLight({ start: false, routers: [], blockBrokers: [nothing] })
const files = unixfs(helia)
const asKubo = {
  cidVersion: 1,
  rawLeaves: true,
  reduceSingleLeafToSelf: true,
  chunker: fixedSize({ chunkSize: 262144 }),
  layout: balanced({ maxChildrenPerNode: 174 })
}

const added = {}
for (const name of fs.readdirSync(folder)) {
  added[name] = (await files.addBytes(fs.readFileSync(path.join(folder, name)), asKubo)).toString()
}
const reader = await CarReader.fromBytes(fs.readFileSync(car))
for await (const { cid, bytes } of reader.blocks()) await helia.blockstore.put(cid, bytes)
const roots = (await reader.getRoots()).map(cid => cid.toString())

const verifiedFetch = await createVerifiedFetchWithHelia(helia)

async function answer (request, response) {
  const { pathname, search } = new URL(request.url, 'http://localhost')
  const headers = Object.fromEntries(['accept', 'range'].filter(name => request.headers[name]).map(name => [name, request.headers[name]]))
  const found = await verifiedFetch(`ipfs://${pathname.replace('/ipfs/', '')}${search}`, { headers })
  response.writeHead(found.status, Object.fromEntries(found.headers))
  if (request.method !== 'HEAD' && found.body != null) for await (const part of found.body) response.write(part)
  response.end()
}

const server = http.createServer((request, response) => {
  answer(request, response).catch(error => {
    if (!response.headersSent) response.writeHead(500)
    response.end(String(error.message))
  })
})
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}`, roots, added }))
})
