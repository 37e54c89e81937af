package reactor

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
)

// auditEvent is the resource of contract A15.8. What its meta says besides the property's
// name is an addition.
type auditEvent = resource[auditAttributes, auditRelationships, auditLinks, auditMeta]

type auditAttributes struct {
	AttributedToDisplayName string    `json:"attributed_to_display_name"`
	AttributedToEmail       *string   `json:"attributed_to_email"`
	CreatedAt               timestamp `json:"created_at"` // when it was done
	DisplayName             string    `json:"display_name"`
	Entity                  string    `json:"entity"` // JSON in a string
	TypeOf                  string    `json:"type_of"`
	UpdatedAt               timestamp `json:"updated_at"` // when it was written down
}

type auditRelationships struct {
	Property auditRelation `json:"property"`
	Entity   auditRelation `json:"entity"`
}

// auditRelation leads somewhere only as long as there is something.
type auditRelation struct {
	Links *relatedLinks `json:"links,omitempty"`
	Data  *identifier   `json:"data"`
}

type auditLinks struct {
	Self string `json:"self"`
}

type auditMeta struct {
	PropertyName string `json:"property_name,omitempty"`
	Action       string `json:"action,omitempty"`
	Outcome      string `json:"outcome,omitempty"`
	Reason       string `json:"reason,omitempty"`
	Principal    string `json:"principal,omitempty"`
	RequestID    string `json:"request_id,omitempty"`
	Purpose      string `json:"purpose,omitempty"`
}

// nobody is whose doing it was when it was nobody's in person.
const nobody = "Rekindle"

func (d *door) auditEvent(r *request, n audit.Noted) auditEvent {
	v := auditEvent{
		ID: n.ID, Type: "audit_events",
		Attributes: auditAttributes{
			AttributedToDisplayName: nobody, CreatedAt: timestamp(n.At), DisplayName: n.Entity.Name,
			Entity: entityText(n.Entry), TypeOf: n.Type(), UpdatedAt: timestamp(n.NotedAt),
		},
		Links: auditLinks{r.view.base.to("audit_events", n.ID)},
		Meta: &auditMeta{
			PropertyName: n.Entity.PropertyName, Action: n.Action, Outcome: n.Outcome, Reason: n.Reason,
			Principal: n.Principal, RequestID: n.Request, Purpose: n.Purpose,
		},
	}
	if *v.Meta == (auditMeta{}) {
		v.Meta = nil
	}
	switch {
	case n.Email != "":
		v.Attributes.AttributedToDisplayName, v.Attributes.AttributedToEmail = n.Name, &n.Email
	case n.Name != "":
		v.Attributes.AttributedToDisplayName = n.Name
	}
	v.Relationships.Property = d.auditRelation(r, "properties", n.Entity.Property)
	v.Relationships.Entity = d.auditRelation(r, n.EntityType(), n.Entity.ID)
	return v
}

func (d *door) auditRelation(r *request, kind, id string) auditRelation {
	if id == "" {
		return auditRelation{}
	}
	relation := auditRelation{Data: &identifier{ID: id, Type: kind}}
	if d.service.Shown(r.caller, kind, id) {
		relation.Links = &relatedLinks{Related: r.view.base.to(kind, id)}
	}
	return relation
}

// entityText is what was done something to, as a resource in a string.
func entityText(e audit.Entry) string {
	body, err := e.EntityDocument()
	if err != nil {
		return "{}"
	}
	return string(body)
}

func filterableAuditEvents() fields[audit.Noted] {
	return fields[audit.Noted]{
		"created_at": moment(func(n audit.Noted) time.Time { return n.At }),
		"updated_at": moment(func(n audit.Noted) time.Time { return n.NotedAt }),
		"type_of":    text(func(n audit.Noted) string { return n.Type() }),
		"property":   {text: func(n audit.Noted) (string, bool) { return n.Entity.Property, n.Entity.Property != "" }},
	}
}

// auditLate bounds how much later than it was done something is written down that a filter
// on created_at finds. In fact it is some seconds, unless the whole fleet was down.
const auditLate = time.Hour

// auditQuery reads a query. What the filters say of times bounds what is looked at.
func auditQuery(params url.Values) audit.Query {
	q := filterableAuditEvents().query(params)
	ask := audit.Query{Match: q.Match, Number: q.Number, Size: q.Size}
	from, to := spanOf(params, "updated_at")
	doneFrom, doneTo := spanOf(params, "created_at")
	if doneFrom.After(from) {
		from = doneFrom.Add(-time.Minute) // clocks differ
	}
	if doneTo = doneTo.Add(auditLate); doneTo.After(time.Time{}.Add(auditLate)) && (to.IsZero() || doneTo.Before(to)) {
		to = doneTo
	}
	ask.From, ask.To = from, to
	return ask
}

// spanOf returns between which times a condition holds at most, zero for no bound.
func spanOf(params url.Values, name string) (from, to time.Time) {
	op, operands, ok := parseOperands(expression(params, name))
	if !ok || op != opBetween && len(operands) != 1 {
		return from, to
	}
	at := func(i int) time.Time {
		t, err := time.Parse(time.RFC3339, operands[i])
		if err != nil {
			return time.Time{}
		}
		return t
	}
	switch op {
	case opEqual:
		return at(0), after(at(0))
	case opGreater:
		return at(0), to
	case opLess:
		return from, at(0)
	case opBetween:
		return at(0), after(at(1))
	default:
		return from, to
	}
}

// after is the end of the millisecond that a time is in, zero for none.
func after(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(time.Millisecond)
}

// auditList is a list with links (contract A3).
type auditList struct {
	Data  []auditEvent   `json:"data"`
	Links auditListLinks `json:"links"`
	Meta  auditListMeta  `json:"meta"`
}

type auditListLinks struct {
	Self string  `json:"self"`
	Next *string `json:"next"`
	Last string  `json:"last"`
}

type auditListMeta struct {
	Pagination pagination `json:"pagination"`
	// SearchedUntil is how far back was looked for what the filters select, if there may be
	// more behind it: an addition to the contract. A filter on updated_at begins there.
	SearchedUntil *timestamp `json:"searched_until,omitempty"`
}

func (d *door) listAuditEvents(ctx context.Context, r *request) (reply, error) {
	params := r.http.URL.Query()
	q := auditQuery(params)
	result, err := d.service.AuditEvents(ctx, r.caller, q)
	if err != nil {
		return reply{}, err
	}
	doc := auditList{Data: make([]auditEvent, len(result.Items))}
	for i, n := range result.Items {
		doc.Data[i] = d.auditEvent(r, n)
	}
	doc.Meta = auditListMeta{paginate(q.Number, q.Size, result.Total), known(result.Until)}
	to := func(number int) string {
		params.Set("page[number]", strconv.Itoa(number))
		params.Set("page[size]", strconv.Itoa(q.Size))
		return r.view.base.to("audit_events") + "?" + params.Encode()
	}
	doc.Links = auditListLinks{Self: to(q.Number), Last: to(doc.Meta.Pagination.TotalPages)}
	if next := doc.Meta.Pagination.NextPage; next != nil {
		doc.Links.Next = new(to(*next))
	}
	return found(doc), nil
}

func (d *door) getAuditEvent(ctx context.Context, r *request) (reply, error) {
	n, err := d.service.AuditEvent(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[auditEvent]{d.auditEvent(r, n)}), nil
}

// auditPage is a page of the trail as it is stored, so that whoever asks can check the chain:
// an addition to the contract.
type auditPage = resource[auditPageAttributes, struct{}, struct{}, struct{}]

type auditPageAttributes struct {
	Body []byte `json:"body"` // in base64
}

type auditPages struct {
	Data []auditPage `json:"data"`
}

// listAuditPages answers with pages behind the one that page[after] names. Behind the last there
// are none.
func (d *door) listAuditPages(ctx context.Context, r *request) (reply, error) {
	const name = "page[after]"
	after, err := strconv.ParseUint(last(r.http.URL.Query()[name]), 10, 63)
	if err != nil && r.http.URL.Query().Has(name) {
		return reply{}, &parameterError{name, "the id of a page"}
	}
	pages, err := d.service.AuditPages(ctx, r.caller, after+1)
	if err != nil {
		return reply{}, err
	}
	doc := auditPages{Data: make([]auditPage, len(pages))}
	for i, p := range pages {
		doc.Data[i] = auditPage{ID: strconv.FormatUint(p.Sequence, 10), Type: "audit_pages", Attributes: auditPageAttributes{p.Body}}
	}
	return found(doc), nil
}
