package intake_test

import (
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events/intake"
)

// What is published to JetStream to have a secret exchanged now. Published again, it is
// carried out once: its id and its source stay the same.
func ExampleEncode() {
	subject, header, body, err := intake.Encode(intake.Event{
		ID: "4711", Source: "/crm", Org: "ORG@Acme", Time: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		Data: intake.RetryRequested{Which: intake.Which{Property: "PR1", Name: "billing"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(subject)
	fmt.Println(header.Get("ce-type"))
	fmt.Printf("%s\n", body)
	// Output:
	// rekindle.v1.intake.ORG=40Acme.RetryRequested.PR1=2Fbilling
	// dev.rekindle.intake.v1.RetryRequested
	// {"property":"PR1","name":"billing"}
}

// What the permissions of a NATS server let the publishers of an organisation publish on, and
// where they await answers.
func ExampleSubjectsOf() {
	fmt.Println(intake.SubjectsOf("ORG@Acme"))
	fmt.Println(intake.RepliesTo("ORG@Acme"))
	// Output:
	// rekindle.v1.intake.ORG=40Acme.*.*
	// rekindle.v1.reply.ORG=40Acme.*
}
