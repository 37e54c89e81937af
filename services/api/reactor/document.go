package reactor

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
)

// The documents of JSON:API as the Reactor API writes them (contract A3). The
// order of the members is the order in which they are written.

// single is a document of one resource.
type single[T any] struct {
	Data T `json:"data"`
}

// nothing is the document of a related resource that is not there.
type nothing struct {
	Data *identifier `json:"data"`
}

// list is a document of one page of resources.
type list[T any] struct {
	Data []T      `json:"data"`
	Meta listMeta `json:"meta"`
}

type listMeta struct {
	Pagination pagination `json:"pagination"`
}

type pagination struct {
	CurrentPage int  `json:"current_page"`
	NextPage    *int `json:"next_page"`
	PrevPage    *int `json:"prev_page"`
	TotalPages  int  `json:"total_pages"`
	TotalCount  int  `json:"total_count"`
}

// resource is a resource object of attributes A, relationships R, links L and
// meta M. Meta with nothing to say is left out: null would break clients
// (contract A3).
type resource[A, R, L, M any] struct {
	ID            string `json:"id"`
	Type          string `json:"type"`
	Attributes    A      `json:"attributes"`
	Relationships R      `json:"relationships"`
	Links         L      `json:"links"`
	Meta          *M     `json:"meta,omitempty"`
}

// identifier names a resource.
type identifier struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// name returns the identifier of a resource, nil for none.
func name(typ, id string) *identifier {
	if id == "" {
		return nil
	}
	return &identifier{id, typ}
}

// related is a relationship of which only the place is told.
type related struct {
	Links relatedLinks `json:"links"`
}

type relatedLinks struct {
	Related string `json:"related"`
	Self    string `json:"self,omitempty"`
}

// toOne is a relationship with at most one resource, null for none.
type toOne struct {
	Links relatedLinks `json:"links"`
	Data  *identifier  `json:"data"`
	Meta  *stageMeta   `json:"meta,omitempty"`
}

type stageMeta struct {
	Stage string `json:"stage"`
}

type errorsDoc struct {
	Errors []errorObject `json:"errors"`
}

// errorObject is one error, immediate or delayed: a delayed one has no status
// (contract A5).
type errorObject struct {
	ID     string      `json:"id"`
	Status string      `json:"status,omitempty"`
	Code   string      `json:"code"`
	Title  string      `json:"title"`
	Detail string      `json:"detail"`
	Source errorSource `json:"source"`
	Meta   errorMeta   `json:"meta"`
}

type errorSource struct {
	Pointer   string `json:"pointer,omitempty"`
	Parameter string `json:"parameter,omitempty"`
}

type errorMeta struct {
	RequestID string `json:"request_id"`
	// RetryAt is until when a provider asked to be left alone: an addition to the
	// contract.
	RetryAt *timestamp `json:"retry_at,omitempty"`
}

// timestamp is a time in UTC with exactly three decimals, null when zero
// (contract A2).
type timestamp time.Time

const timestampLayout = "2006-01-02T15:04:05.000Z"

func (t timestamp) String() string { return time.Time(t).UTC().Format(timestampLayout) }

// MarshalJSON implements json.Marshaler.
func (t timestamp) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return []byte(strconv.Quote(t.String())), nil
}

// base is the public base URL, without a slash at its end.
type base string

// to returns the absolute link to a path.
func (b base) to(path ...string) string { return string(b) + "/" + strings.Join(path, "/") }

func (b base) related(path ...string) related {
	return related{relatedLinks{Related: b.to(path...)}}
}

// reply is an answer: a status and a document, nil for no body.
type reply struct {
	status   int
	document any
	// tag is that of the record of the document, "" for none.
	tag string
	// stream, if not nil, sends an answer that is no document, until it ends.
	stream func(http.ResponseWriter)
}

func found(document any) reply   { return reply{status: http.StatusOK, document: document} }
func created(document any) reply { return reply{status: http.StatusCreated, document: document} }
func gone() reply                { return reply{status: http.StatusNoContent} }

// tagged is the answer with the tag by which clients may make a change conditional.
func (a reply) tagged(tag string) reply {
	a.tag = tag
	return a
}

// send writes the answer. It is encoded first, so that a document is sent as a
// whole or not at all. Text is written as it is: no HTML reads it.
func (a reply) send(w http.ResponseWriter) {
	if a.document == nil {
		w.WriteHeader(a.status)
		return
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a.document); err != nil {
		panic(err) // one of our own types cannot be written: a bug
	}
	h := w.Header()
	if a.tag != "" {
		h.Set("ETag", `"`+a.tag+`"`)
	}
	h.Set("Content-Type", jsonAPI)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(a.status)
	w.Write(body.Bytes()) // the client may have gone; there is nobody to tell
}

// listed returns the answer with a page of a list.
func listed[T, R any](q api.Query[T], page api.Page[T], view func(T) R) reply {
	doc := list[R]{
		Data: make([]R, len(page.Items)),
		Meta: listMeta{paginate(q.Number, q.Size, page.Total)},
	}
	for i, v := range page.Items {
		doc.Data[i] = view(v)
	}
	return found(doc)
}

// empty returns the answer with a list of what cannot be made here, so that
// there is none of it: every link in a document leads somewhere.
func empty(r *request) reply {
	q := fields[identifier]{}.query(r.http.URL.Query())
	return listed(q, api.Page[identifier]{}, func(i identifier) identifier { return i })
}

// paginate describes a page. An empty list has one page, and from a page beyond
// the end the way back is the last one (contract A3, A4).
func paginate(number, size, total int) pagination {
	p := pagination{
		CurrentPage: number,
		TotalPages:  max(1, (total+size-1)/size),
		TotalCount:  total,
	}
	if number > 1 {
		p.PrevPage = new(min(number-1, p.TotalPages))
	}
	if number < p.TotalPages {
		p.NextPage = new(number + 1)
	}
	return p
}
