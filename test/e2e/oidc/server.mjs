// A certified authorization server, oidc-provider, for one client and one person
// who answers its dialogs by redirects alone. It demands PKCE, gives a refresh token
// for offline_access with prompt=consent, replaces it at each use, and ends the grant
// of one that is used twice.
//
//   node server.mjs --client '{"client_id": …}' [--lifetime seconds]
//
// --client is the client's metadata as OpenID Connect registers it. The one line it
// prints is its discovery document. It ends when its standard input does.
//
// Beside the provider's own endpoints, for the test alone:
//
//   PUT    /person   {"account": "alice", "consents": true}   who sits at the browser
//   GET    /grants   what the token endpoint has answered, in order
//   DELETE /grants   ends every grant, as the person can at any provider

import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { parseArgs } from 'node:util'

import { Provider } from 'oidc-provider'

const { values: args } = parseArgs({
  options: { client: { type: 'string' }, lifetime: { type: 'string', default: '3600' } },
})
const day = 24 * 60 * 60

const server = createServer()
server.listen(0, '127.0.0.1')
await once(server, 'listening')

const issuer = `http://127.0.0.1:${server.address().port}`
const signing = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey

const provider = new Provider(issuer, {
  clients: [JSON.parse(args.client)],
  scopes: ['openid', 'offline_access', 'https://www.googleapis.com/auth/adwords'],
  jwks: { keys: [{ ...signing.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomUUID()] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: Number(args.lifetime), IdToken: Number(args.lifetime), AuthorizationCode: 60,
    RefreshToken: day, Grant: day, Session: day, Interaction: 600,
  },
  findAccount: (_, account) => ({ accountId: account, claims: () => ({ sub: account }) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
})

// answer is what the person does in a dialog.
let person = { account: 'alice', consents: true }

async function answer({ prompt, params, session, grantId }) {
  if (prompt.name === 'login') return { login: { accountId: person.account } }
  if (!person.consents) return { error: 'access_denied', error_description: 'the person refused' }
  const grant = (grantId && (await provider.Grant.find(grantId)))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
  grant.addOIDCScope(params.scope)
  return { consent: { grantId: await grant.save() } }
}

const grants = new Set()
provider.on('grant.saved', (grant) => grants.add(grant.jti))

const answers = []
provider.on('grant.success', ({ oidc }) => answers.push({
  grant_type: oidc.params.grant_type,
  account: oidc.entities.Account.accountId,
  rotations: oidc.entities.RefreshToken?.rotations ?? 0,
}))
provider.on('grant.error', ({ oidc }, { error, error_detail: detail }) => answers.push({
  grant_type: oidc.params?.grant_type, error, detail,
}))
provider.on('server_error', (_, err) => console.error(err))

const routes = {
  'PUT /person': async (ctx) => {
    person = await json(ctx.req)
    ctx.status = 204
  },
  'GET /grants': (ctx) => {
    ctx.body = answers
  },
  'DELETE /grants': async (ctx) => {
    for (const id of grants) await (await provider.Grant.find(id))?.destroy()
    grants.clear()
    ctx.status = 204
  },
}

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/interaction/')) {
    const details = await provider.interactionDetails(ctx.req, ctx.res)
    ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, await answer(details)))
    return
  }
  await (routes[`${ctx.method} ${ctx.path}`] ?? next)(ctx)
})
server.on('request', provider.callback())

const discovery = await fetch(`${issuer}/.well-known/openid-configuration`)
console.log(JSON.stringify(await discovery.json()))

process.stdin.resume().on('end', () => process.exit())
