package seal_test

import (
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

func Example() {
	ring, err := seal.NewKeyring(time.Now())
	if err != nil {
		panic(err)
	}

	// Where secrets come in: the public half is enough.
	sealer, err := seal.NewSealer(ring.Keyset())
	if err != nil {
		panic(err)
	}
	binding := seal.Binding{Secret: "SE42", Field: "client_secret", Generation: 1}
	secret := seal.NewPlaintext("sk-proj-abc123xyz789")
	sealed, err := sealer.Seal(seal.LongLived, binding, secret)
	if err != nil {
		panic(err)
	}
	fmt.Println(seal.Mask(secret))

	// Where they are used.
	opened, err := seal.NewOpener(ring).Open(binding, sealed)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s %+v %t\n", opened, opened, opened.Equal(secret))

	// Output:
	// sk-p****z789
	// [redacted] [redacted] true
}
