package reactor

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/pkg/ledger"
	"github.com/rekindle-dev/rekindle/services/api"
)

// TestStreamsOfAProcessAreCounted, whoever's they are.
func TestStreamsOfAProcessAreCounted(t *testing.T) {
	t.Parallel()
	s, now := newStreams(prometheus.NewRegistry()), time.Now()
	var leave func()
	for n := range maxStreams {
		var err error
		if leave, err = s.enter(fmt.Sprint(n), now); err != nil {
			t.Fatalf("stream %d: %v", n, err)
		}
	}
	if _, err := s.enter("one more", now); !errors.Is(err, errAllStreams) {
		t.Errorf("one too many: %v", err)
	}
	leave()
	if _, err := s.enter("one more", now.Add(time.Minute)); err != nil {
		t.Errorf("when one has left: %v", err)
	}
	if _, err := s.enter("nor one more", now.Add(time.Minute)); !errors.Is(err, errAllStreams) || len(s.of) != maxStreams+1 {
		t.Errorf("%v; %d principals are remembered, want %d and who asks", err, len(s.of), maxStreams)
	}
}

// TestStreamsAreNotBegunWithoutEnd: whoever comes again as soon as it is let go is held up, and
// nobody else.
func TestStreamsAreNotBegunWithoutEnd(t *testing.T) {
	t.Parallel()
	s, now := newStreams(prometheus.NewRegistry()), time.Now()
	begin := func(principal string, at time.Time) (n int) {
		for range 10 * maxStreamsOf {
			leave, err := s.enter(principal, at)
			if err == nil {
				leave()
				n++
			} else if !errors.Is(err, errOftenBegun) {
				t.Fatal(err)
			}
		}
		return n
	}
	for _, row := range []struct {
		who   string
		after time.Duration
		want  int
	}{{"one", 0, maxBegunOf}, {"another", 0, maxBegunOf}, {"one", 5 * time.Second, 5}, {"one", time.Hour, maxBegunOf}} {
		if n := begin(row.who, now.Add(row.after)); n != row.want {
			t.Errorf("%s began %d after %v, want %d", row.who, n, row.after, row.want)
		}
	}
}

// TestStreamOfALogThatIsSetBack: a client does not keep a place that the log has not come to
// again, for by then it is another event's.
func TestStreamOfALogThatIsSetBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	to := httptest.NewRecorder()
	s := &stream{door: &door{now: func() time.Time { return now }}, to: to, control: http.NewResponseController(to), said: now, checked: now}
	for _, part := range []api.EventPart{
		{Position: 41, Present: true},
		{Position: 3, Present: true, Gap: &ledger.Gap{SetBack: true}},
		{Position: 3, Present: true},
	} {
		if err := s.tell(part); err != nil {
			t.Fatal(err)
		}
	}
	want := "id: 41\nevent: present\ndata: {}\n\n" +
		"id: 0\nevent: gap\ndata: {\"reason\":\"set_back\",\"missing_at_most\":null,\"oldest_at\":null}\n\n"
	if got := to.Body.String(); got != want {
		t.Errorf("it says\n%s, want\n%s", got, want)
	}
}

// FuzzEventQuery: whatever a client says of where to begin and of what to tell, it is refused
// as that, or what is asked of the log is within its bounds.
func FuzzEventQuery(f *testing.F) {
	f.Add("17", "")
	f.Add("", "since=2h&filter[type_of]=EQ SecretDeleted,ExchangeFailed")
	f.Add("", "since=2026-11-01T00:00:00Z&property=PR00000000000040008000000000000001")
	f.Add("18446744073709551615", "lastEventId=18446744073709551616")
	f.Add("-1", "since=-2h&filter[secret]=EQ SE00000000000040008000000000000001,>")
	f.Add(" 1", "type_of=*")
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, lastEvent, query string) {
		r := httptest.NewRequest(http.MethodGet, "/events", nil)
		r.URL.RawQuery = query
		r.Header.Set(headerLastEvent, lastEvent)
		q, err := eventQuery(r, now)
		if err != nil {
			for _, fault := range faultsOf(err) {
				if fault.status != http.StatusBadRequest {
					t.Errorf("status %d: %v", fault.status, err)
				}
			}
			return
		}
		switch {
		case lastEvent != "" && (q.From.After == nil || fmt.Sprint(*q.From.After) != lastEvent && lastEvent[0] != '0'):
			t.Errorf("behind %q is %v", lastEvent, q.From.After)
		case q.From.Since.After(now) || !q.From.Since.IsZero() && q.From.After != nil:
			t.Errorf("begins at %v", q.From)
		}
		if n := len((ledger.Selection{Org: "o", Types: q.Types, Secrets: q.Secrets}).Subjects()); n > ledger.MaxSubjects {
			t.Errorf("%d subjects", n)
		}
		for _, name := range []string{"type_of", "secret", "property"} {
			if e := expression(must(url.ParseQuery(query)), name); e != "" && len(q.Types)+len(q.Secrets)+len(q.Properties) == 0 {
				t.Errorf("%q selects everything", e)
			}
		}
	})
}

// must returns as much of a query as can be read.
func must(v url.Values, _ error) url.Values { return v }
