package events_test

import (
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/events"
)

// What a consumer of the stream EVENTS filters by to hear of the exchanges of an
// organisation that failed, and of all that happens to one secret.
func ExampleSubjectsIn() {
	fmt.Println(events.SubjectsIn("ORG@Acme", events.TypeExchangeFailed, ""))
	fmt.Println(events.SubjectsIn("ORG@Acme", "", "SE1"))
	// Output:
	// rekindle.v1.event.ORG=40Acme.ExchangeFailed.*
	// rekindle.v1.event.ORG=40Acme.*.SE1
}

// The key to watch in the bucket of statuses for the secrets of a type in a property.
func ExampleStatusKeys() {
	fmt.Println(events.StatusKeys("", "PR1", "oauth2", ""))
	// Output: *.PR1.oauth2.*
}

// A reader skips what a later version of the fleet says.
func ExampleDecode() {
	for _, ceType := range []string{"dev.rekindle.v1.SecretDeleted", "dev.rekindle.v1.SecretForgotten"} {
		e, err := events.Decode(events.Header{
			"ce-specversion": {"1.0"}, "ce-id": {"7"}, "ce-source": {"/rekindle/api"}, "ce-type": {ceType},
			"ce-subject": {"SE1"}, "ce-org": {"ORG@Acme"}, "ce-time": {"2026-05-01T12:00:00Z"},
		}, []byte(`{"secret": "SE1", "property": "PR1", "kind": "oauth2"}`))
		switch {
		case errors.Is(err, events.ErrUnknownType):
			fmt.Println("skipped")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(e.Org, e.Data.Type(), e.Data.About())
		}
	}
	// Output:
	// ORG@Acme SecretDeleted SE1
	// skipped
}
