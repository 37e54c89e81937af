// Package e2e tests what is deployed: the image, docker-compose.yml and the files
// it mounts. There need be no container engine. The Dockerfile's own commands
// build the program from the files that would be its build context, and the
// fleet of the compose file runs as processes of this machine, with the same
// arguments and variables, beside a NATS server of its own.
//
// It is a module of its own, outside go.work, because what reads these formats is
// heavy. The formats are read by those who define them: compose-go, BuildKit and
// Prometheus. So with protocols: a person consents at oidc-provider, a certified
// authorization server, and the description of the API is read by Redocly's linter, and
// what publishers seal is sealed and opened by an HPKE in JavaScript, all of which npm installs.
//
// Run it with -count=1: the go command does not see that files outside of this
// module have changed, and would report an old result.
package e2e
