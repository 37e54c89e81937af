// A publisher in JavaScript, with HPKE of @hpke/core. It follows docs/sealing.md.
//
// It reads orders from standard input, a JSON object a line, and writes what comes of
// each:
//
//   {"seal": {keyset, org, about, field, token_url, plaintext}, "hybrid": true}  →  {"sealed": "<base64>"}
//   {"open": {private, binding, sealed}}                                          →  {"plaintext": "…"}
//
// Publishers only seal. Opening is here to test both directions.

import { createInterface } from 'node:readline'
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { XWing } from '@hpke/hybridkem-x-wing'

// The suites by the first byte of what is sealed with them.
const HYBRID = 1
const X25519 = 2
const suites = {
  [HYBRID]: new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes256Gcm() }),
  [X25519]: new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() }),
}
const members = { [HYBRID]: 'mlkem768_x25519', [X25519]: 'x25519' }
const encLength = { [HYBRID]: 1120, [X25519]: 32 }
const headerLength = 9

const buffer = (bytes) => new Uint8Array(bytes).buffer
const uint = (value, bytes) => Buffer.from(value.toString(16).padStart(2 * bytes, '0'), 'hex')
const prefixed = (text) => Buffer.concat([uint(Buffer.byteLength(text), 4), Buffer.from(text)])

// What a value is bound to.
function bindingOf({ org, about, field, token_url }) {
  let name = field
  if (field === 'client_secret') {
    const [, scheme, host] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i.exec(token_url)
    name += ` for ${scheme.toLowerCase()}://${host.toLowerCase()}`
  }
  return { secret: `${org} ${about}`, field: `upstream ${name}`, generation: 1 }
}

// The info of HPKE. The header is that of the sealed value: its format and its key.
function infoOf(header, { secret, field, generation }) {
  return buffer(Buffer.concat([Buffer.from('rekindle.seal.v1'), header, prefixed(secret), prefixed(field), uint(generation, 8)]))
}

async function seal(target, format) {
  const keyset = target.keyset
  const key = keyset.keys.find((k) => k.id === keyset.primary)
  const suite = suites[format]
  const header = Buffer.concat([Buffer.from([format]), Buffer.from(key.id, 'hex')])
  const recipientPublicKey = await suite.kem.deserializePublicKey(buffer(Buffer.from(key[members[format]], 'base64')))
  const { enc, ct } = await suite.seal(
    { recipientPublicKey, info: infoOf(header, bindingOf(target)) }, buffer(Buffer.from(target.plaintext)),
  )
  return { sealed: Buffer.concat([header, Buffer.from(enc), Buffer.from(ct)]).toString('base64') }
}

async function open(value) {
  const sealed = Buffer.from(value.sealed, 'base64')
  const [format, body] = [sealed[0], sealed.subarray(headerLength)]
  const suite = suites[format]
  const recipientKey = await suite.kem.deserializePrivateKey(buffer(Buffer.from(value.private[members[format]], 'base64')))
  const info = infoOf(sealed.subarray(0, headerLength), value.binding)
  const opened = await suite.open(
    { recipientKey, info, enc: buffer(body.subarray(0, encLength[format])) }, buffer(body.subarray(encLength[format])),
  )
  return { plaintext: Buffer.from(opened).toString() }
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line)
  const done = order.seal ? await seal(order.seal, order.hybrid ? HYBRID : X25519) : await open(order.open)
  console.log(JSON.stringify(done))
}
