package seal_test

import (
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// The value of the benchmarks is of the size of an access token in JWT form.
const benchSize = 1200

func BenchmarkSeal(b *testing.B) {
	ring, value := newRing(b), seal.NewPlaintext(make([]byte, benchSize))
	sealer, opener := newSealer(b, ring), seal.NewOpener(ring)
	for _, class := range classes {
		b.Run(class.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sealer.Seal(class, testBinding, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := opener.Seal(testBinding, value); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	ring := newRing(b)
	for _, class := range classes {
		sealed := mustSeal(b, ring, class, string(make([]byte, benchSize)))
		b.Run(class.String(), func(b *testing.B) { benchmarkOpen(b, ring, sealed) })
	}
	sealed := sealOwn(b, ring, string(make([]byte, benchSize)))
	b.Run("own", func(b *testing.B) { benchmarkOpen(b, ring, sealed) })
}

func benchmarkOpen(b *testing.B, ring *seal.Keyring, sealed []byte) {
	opener := seal.NewOpener(ring)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := opener.Open(testBinding, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
