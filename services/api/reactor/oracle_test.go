package reactor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/jsonapi"
)

// The resources of the API as a program declares them that uses somebody else's library for
// JSON:API. Every document of these tests is decoded into them: see site.call. What may be
// null or has parts of its own is any, and other resources have their ids only.
type (
	itsCompany struct {
		ID string `jsonapi:"primary,companies"`
	}
	itsProperty struct {
		ID string `jsonapi:"primary,properties"`
	}
	itsEnvironment struct {
		ID string `jsonapi:"primary,environments"`
	}
	itsHost struct {
		ID string `jsonapi:"primary,hosts"`
	}
	itsSecret struct {
		ID string `jsonapi:"primary,secrets"`
	}
	itsCallback struct {
		ID string `jsonapi:"primary,callbacks"`
	}
	itsExtension struct {
		ID string `jsonapi:"primary,extensions"`
	}
	itsDataElement struct {
		ID string `jsonapi:"primary,data_elements"`
	}
	itsLibrary struct {
		ID string `jsonapi:"primary,libraries"`
	}
	aCompany struct {
		ID                  string    `jsonapi:"primary,companies"`
		CreatedAt           time.Time `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt           time.Time `jsonapi:"attr,updated_at,rfc3339"`
		Name                string    `jsonapi:"attr,name"`
		OrgID               string    `jsonapi:"attr,org_id"`
		Token               string    `jsonapi:"attr,token"`
		CjmEnabled          bool      `jsonapi:"attr,cjm_enabled"`
		EdgeEnabled         bool      `jsonapi:"attr,edge_enabled"`
		EdgeEventsAllotment any       `jsonapi:"attr,edge_events_allotment"`
		EdgeFanoutRatio     any       `jsonapi:"attr,edge_fanout_ratio"`
	}
	aProperty struct {
		ID                             string      `jsonapi:"primary,properties"`
		CreatedAt                      time.Time   `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt                      time.Time   `jsonapi:"attr,updated_at,rfc3339"`
		Enabled                        bool        `jsonapi:"attr,enabled"`
		Name                           string      `jsonapi:"attr,name"`
		Platform                       string      `jsonapi:"attr,platform"`
		Development                    bool        `jsonapi:"attr,development"`
		Token                          string      `jsonapi:"attr,token"`
		Domains                        []string    `jsonapi:"attr,domains"`
		Privacy                        string      `jsonapi:"attr,privacy"`
		RuleComponentSequencingEnabled bool        `jsonapi:"attr,rule_component_sequencing_enabled"`
		SslEnabled                     bool        `jsonapi:"attr,ssl_enabled"`
		UndefinedVarsReturnEmpty       bool        `jsonapi:"attr,undefined_vars_return_empty"`
		ToCompany                      *itsCompany `jsonapi:"relation,company"`
	}
	aEnvironment struct {
		ID                  string       `jsonapi:"primary,environments"`
		Archive             bool         `jsonapi:"attr,archive"`
		CreatedAt           time.Time    `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt           time.Time    `jsonapi:"attr,updated_at,rfc3339"`
		LibraryPath         string       `jsonapi:"attr,library_path"`
		LibraryName         string       `jsonapi:"attr,library_name"`
		LibraryEntryPoints  any          `jsonapi:"attr,library_entry_points"`
		Name                string       `jsonapi:"attr,name"`
		Path                any          `jsonapi:"attr,path"`
		Stage               string       `jsonapi:"attr,stage"`
		Status              string       `jsonapi:"attr,status"`
		Token               string       `jsonapi:"attr,token"`
		IncludeDebugLibrary bool         `jsonapi:"attr,include_debug_library"`
		ToLibrary           *itsLibrary  `jsonapi:"relation,library"`
		ToHost              *itsHost     `jsonapi:"relation,host"`
		ToProperty          *itsProperty `jsonapi:"relation,property"`
	}
	aHost struct {
		ID         string       `jsonapi:"primary,hosts"`
		CreatedAt  time.Time    `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt  time.Time    `jsonapi:"attr,updated_at,rfc3339"`
		Server     any          `jsonapi:"attr,server"`
		Name       string       `jsonapi:"attr,name"`
		Path       any          `jsonapi:"attr,path"`
		Port       any          `jsonapi:"attr,port"`
		Status     string       `jsonapi:"attr,status"`
		TypeOf     string       `jsonapi:"attr,type_of"`
		Username   any          `jsonapi:"attr,username"`
		ToProperty *itsProperty `jsonapi:"relation,property"`
	}
	aNote struct {
		ID                string    `jsonapi:"primary,notes"`
		AuthorDisplayName string    `jsonapi:"attr,author_display_name"`
		AuthorEmail       string    `jsonapi:"attr,author_email"`
		CreatedAt         time.Time `jsonapi:"attr,created_at,rfc3339"`
		Text              string    `jsonapi:"attr,text"`
	}
	aSecret struct {
		ID                   string          `jsonapi:"primary,secrets"`
		CreatedAt            time.Time       `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt            time.Time       `jsonapi:"attr,updated_at,rfc3339"`
		Name                 string          `jsonapi:"attr,name"`
		TypeOf               string          `jsonapi:"attr,type_of"`
		ActivatedAt          any             `jsonapi:"attr,activated_at"`
		ExpiresAt            any             `jsonapi:"attr,expires_at"`
		RefreshAt            any             `jsonapi:"attr,refresh_at"`
		Status               string          `jsonapi:"attr,status"`
		Credentials          any             `jsonapi:"attr,credentials"`
		CreatedByEmail       string          `jsonapi:"attr,created_by_email"`
		CreatedByDisplayName string          `jsonapi:"attr,created_by_display_name"`
		UpdatedByEmail       string          `jsonapi:"attr,updated_by_email"`
		UpdatedByDisplayName string          `jsonapi:"attr,updated_by_display_name"`
		ToProperty           *itsProperty    `jsonapi:"relation,property"`
		ToEnvironment        *itsEnvironment `jsonapi:"relation,environment"`
	}
	aExtension struct {
		ID             string        `jsonapi:"primary,extensions"`
		CreatedAt      time.Time     `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt      time.Time     `jsonapi:"attr,updated_at,rfc3339"`
		DeletedAt      any           `jsonapi:"attr,deleted_at"`
		Name           string        `jsonapi:"attr,name"`
		DisplayName    string        `jsonapi:"attr,display_name"`
		Package        string        `jsonapi:"attr,package"`
		Settings       string        `jsonapi:"attr,settings"`
		Enabled        bool          `jsonapi:"attr,enabled"`
		Dirty          bool          `jsonapi:"attr,dirty"`
		Published      bool          `jsonapi:"attr,published"`
		PublishedAt    any           `jsonapi:"attr,published_at"`
		RevisionNumber int           `jsonapi:"attr,revision_number"`
		ReviewStatus   string        `jsonapi:"attr,review_status"`
		ToProperty     *itsProperty  `jsonapi:"relation,property"`
		ToOrigin       *itsExtension `jsonapi:"relation,origin"`
	}
	aDataElement struct {
		ID                   string          `jsonapi:"primary,data_elements"`
		CreatedAt            time.Time       `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt            time.Time       `jsonapi:"attr,updated_at,rfc3339"`
		DeletedAt            any             `jsonapi:"attr,deleted_at"`
		Name                 string          `jsonapi:"attr,name"`
		DelegateDescriptorID string          `jsonapi:"attr,delegate_descriptor_id"`
		Settings             any             `jsonapi:"attr,settings"`
		CleanText            bool            `jsonapi:"attr,clean_text"`
		DefaultValue         any             `jsonapi:"attr,default_value"`
		ForceLowerCase       bool            `jsonapi:"attr,force_lower_case"`
		StorageDuration      any             `jsonapi:"attr,storage_duration"`
		Enabled              bool            `jsonapi:"attr,enabled"`
		Dirty                bool            `jsonapi:"attr,dirty"`
		Published            bool            `jsonapi:"attr,published"`
		PublishedAt          any             `jsonapi:"attr,published_at"`
		RevisionNumber       int             `jsonapi:"attr,revision_number"`
		ReviewStatus         string          `jsonapi:"attr,review_status"`
		ToProperty           *itsProperty    `jsonapi:"relation,property"`
		ToExtension          *itsExtension   `jsonapi:"relation,extension"`
		ToOrigin             *itsDataElement `jsonapi:"relation,origin"`
	}
	aLibrary struct {
		ID                string          `jsonapi:"primary,libraries"`
		CreatedAt         time.Time       `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt         time.Time       `jsonapi:"attr,updated_at,rfc3339"`
		Name              string          `jsonapi:"attr,name"`
		State             string          `jsonapi:"attr,state"`
		PublishedAt       any             `jsonapi:"attr,published_at"`
		ToProperty        *itsProperty    `jsonapi:"relation,property"`
		ToEnvironment     *itsEnvironment `jsonapi:"relation,environment"`
		ToUpstreamLibrary *itsLibrary     `jsonapi:"relation,upstream_library"`
	}
	aBuild struct {
		ID            string          `jsonapi:"primary,builds"`
		CreatedAt     time.Time       `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt     time.Time       `jsonapi:"attr,updated_at,rfc3339"`
		Status        string          `jsonapi:"attr,status"`
		Token         string          `jsonapi:"attr,token"`
		ToProperty    *itsProperty    `jsonapi:"relation,property"`
		ToEnvironment *itsEnvironment `jsonapi:"relation,environment"`
		ToLibrary     *itsLibrary     `jsonapi:"relation,library"`
	}
	aCallback struct {
		ID            string       `jsonapi:"primary,callbacks"`
		CreatedAt     time.Time    `jsonapi:"attr,created_at,rfc3339"`
		UpdatedAt     time.Time    `jsonapi:"attr,updated_at,rfc3339"`
		Ordering      string       `jsonapi:"attr,ordering"`
		Subscriptions []string     `jsonapi:"attr,subscriptions"`
		URL           string       `jsonapi:"attr,url"`
		ToProperty    *itsProperty `jsonapi:"relation,property"`
	}
	aDelivery struct {
		ID            string       `jsonapi:"primary,callback_deliveries"`
		Attempt       int          `jsonapi:"attr,attempt"`
		CreatedAt     time.Time    `jsonapi:"attr,created_at,rfc3339"`
		Count         int          `jsonapi:"attr,count"`
		MessageID     string       `jsonapi:"attr,message_id"`
		NextAttemptAt any          `jsonapi:"attr,next_attempt_at"`
		Outcome       string       `jsonapi:"attr,outcome"`
		Problem       any          `jsonapi:"attr,problem"`
		Status        any          `jsonapi:"attr,status"`
		TookMS        int          `jsonapi:"attr,took_ms"`
		TypeOf        string       `jsonapi:"attr,type_of"`
		EntityID      string       `jsonapi:"attr,entity_id"`
		ToCallback    *itsCallback `jsonapi:"relation,callback"`
	}
	aUser struct {
		ID          string `jsonapi:"primary,users"`
		ActiveOrg   string `jsonapi:"attr,active_org"`
		DisplayName string `jsonapi:"attr,display_name"`
		Email       string `jsonapi:"attr,email"`
	}
	aToken struct {
		ID                   string    `jsonapi:"primary,tokens"`
		CreatedAt            time.Time `jsonapi:"attr,created_at,rfc3339"`
		CreatedByEmail       string    `jsonapi:"attr,created_by_email"`
		CreatedByDisplayName string    `jsonapi:"attr,created_by_display_name"`
		Name                 string    `jsonapi:"attr,name"`
		OrgID                string    `jsonapi:"attr,org_id"`
		Rights               []string  `jsonapi:"attr,rights"`
		Status               string    `jsonapi:"attr,status"`
		ExpiresAt            any       `jsonapi:"attr,expires_at"`
		LastUsedAt           any       `jsonapi:"attr,last_used_at"`
		RevokedAt            any       `jsonapi:"attr,revoked_at"`
	}
	aAuditEvent struct {
		ID                      string       `jsonapi:"primary,audit_events"`
		AttributedToDisplayName string       `jsonapi:"attr,attributed_to_display_name"`
		AttributedToEmail       any          `jsonapi:"attr,attributed_to_email"`
		CreatedAt               time.Time    `jsonapi:"attr,created_at,rfc3339"`
		DisplayName             string       `jsonapi:"attr,display_name"`
		Entity                  string       `jsonapi:"attr,entity"`
		TypeOf                  string       `jsonapi:"attr,type_of"`
		UpdatedAt               time.Time    `jsonapi:"attr,updated_at,rfc3339"`
		ToProperty              *itsProperty `jsonapi:"relation,property"`
	}
	aAuditPage struct {
		ID   string `jsonapi:"primary,audit_pages"`
		Body string `jsonapi:"attr,body"`
	}
	aParkedMessage struct {
		ID          string     `jsonapi:"primary,parked_messages"`
		ParkedAt    any        `jsonapi:"attr,parked_at"`
		Lane        string     `jsonapi:"attr,lane"`
		SecretID    string     `jsonapi:"attr,secret_id"`
		Reason      string     `jsonapi:"attr,reason"`
		Deliveries  any        `jsonapi:"attr,deliveries"`
		TypeOf      any        `jsonapi:"attr,type_of"`
		MessageID   any        `jsonapi:"attr,message_id"`
		Source      any        `jsonapi:"attr,source"`
		OrgID       any        `jsonapi:"attr,org_id"`
		Traceparent any        `jsonapi:"attr,traceparent"`
		CreatedAt   any        `jsonapi:"attr,created_at"`
		BodySize    int        `jsonapi:"attr,body_size"`
		BodyMembers any        `jsonapi:"attr,body_members"`
		ToSecret    *itsSecret `jsonapi:"relation,secret"`
	}
	aTimelineEntry struct {
		ID            string     `jsonapi:"primary,timeline_entries"`
		At            time.Time  `jsonapi:"attr,at,rfc3339"`
		Event         string     `jsonapi:"attr,event"`
		EventID       string     `jsonapi:"attr,event_id"`
		Action        string     `jsonapi:"attr,action"`
		Reason        string     `jsonapi:"attr,reason"`
		Detail        string     `jsonapi:"attr,detail"`
		By            string     `jsonapi:"attr,by"`
		Generation    int        `jsonapi:"attr,generation"`
		Attempts      int        `jsonapi:"attr,attempts"`
		NextAttemptAt any        `jsonapi:"attr,next_attempt_at"`
		WorksUntil    any        `jsonapi:"attr,works_until"`
		ToSecret      *itsSecret `jsonapi:"relation,secret"`
	}
	aImport struct {
		ID             string `jsonapi:"primary,imports"`
		Result         string `jsonapi:"attr,result"`
		ExchangeAt     any    `jsonapi:"attr,exchange_at"`
		ElsewhereSince any    `jsonapi:"attr,elsewhere_since"`
	}
)

// declared returns an empty resource of each type.
func declared() map[string]any {
	return map[string]any{
		"companies":           new(aCompany),
		"properties":          new(aProperty),
		"environments":        new(aEnvironment),
		"hosts":               new(aHost),
		"notes":               new(aNote),
		"secrets":             new(aSecret),
		"extensions":          new(aExtension),
		"data_elements":       new(aDataElement),
		"libraries":           new(aLibrary),
		"builds":              new(aBuild),
		"callbacks":           new(aCallback),
		"callback_deliveries": new(aDelivery),
		"users":               new(aUser),
		"tokens":              new(aToken),
		"audit_events":        new(aAuditEvent),
		"audit_pages":         new(aAuditPage),
		"parked_messages":     new(aParkedMessage),
		"timeline_entries":    new(aTimelineEntry),
		"imports":             new(aImport),
	}
}

// understood says what somebody else's library for JSON:API makes of an answer otherwise than
// it was meant.
func understood(a answer) error {
	switch {
	case !strings.HasPrefix(a.header.Get("Content-Type"), jsonapi.MediaType) || len(a.body) == 0:
		return nil
	case a.status >= 400:
		return understoodErrors(a.body)
	}
	var document struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(a.body, &document); err != nil {
		return err
	}
	if document.Data[0] != '[' {
		return understoodResource(document.Data)
	}
	var many []json.RawMessage
	if err := json.Unmarshal(document.Data, &many); err != nil {
		return err
	}
	for _, one := range many {
		if err := understoodResource(one); err != nil {
			return err
		}
	}
	return nil
}

// understoodErrors: what the library has read, it writes as it was.
func understoodErrors(body []byte) error {
	var payload jsonapi.ErrorsPayload
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&payload); err != nil {
		return err
	}
	var again bytes.Buffer
	if err := jsonapi.MarshalErrors(&again, payload.Errors); err != nil {
		return err
	}
	return differs(body, again.Bytes())
}

// rawResource is a resource as it was sent.
type rawResource struct {
	ID            string                     `json:"id"`
	Type          string                     `json:"type"`
	Attributes    map[string]json.RawMessage `json:"attributes"`
	Relationships map[string]struct {
		Data json.RawMessage `json:"data"`
	} `json:"relationships"`
}

// understoodResource compares the resource that the library made of what was sent, member by
// member. Null is no resource.
func understoodResource(sent json.RawMessage) error {
	var raw *rawResource
	if err := json.Unmarshal(sent, &raw); err != nil || raw == nil {
		return err
	}
	model, ok := declared()[raw.Type]
	if !ok {
		return fmt.Errorf("the type %s is not declared", raw.Type)
	}
	if err := jsonapi.UnmarshalPayload(strings.NewReader(`{"data":`+string(sent)+`}`), model); err != nil {
		return err
	}
	read := reflect.ValueOf(model).Elem()
	for i := range read.NumField() {
		tag := strings.Split(read.Type().Field(i).Tag.Get("jsonapi"), ",")
		if err := raw.compare(tag[0], tag[1], read.Field(i)); err != nil {
			return fmt.Errorf("%s of %s: %w", tag[1], raw.Type, err)
		}
	}
	if len(raw.Attributes) > 0 {
		return fmt.Errorf("attributes of %s are not declared: %v", raw.Type, slices.Sorted(maps.Keys(raw.Attributes)))
	}
	return nil
}

// compare compares what was read with a member, and takes attributes away that are equal.
func (raw *rawResource) compare(annotation, name string, read reflect.Value) error {
	switch annotation {
	case "primary":
		if read.String() != raw.ID {
			return fmt.Errorf("read %q, sent %q", read, raw.ID)
		}
	case "attr":
		sent, ok := raw.Attributes[name]
		delete(raw.Attributes, name)
		if !ok {
			return nil // it need not be there
		}
		value := read.Interface()
		if at, is := value.(time.Time); is {
			value = at.UTC().Format("2006-01-02T15:04:05.000Z")
		}
		encoded, err := json.Marshal(value)
		return errors.Join(err, differs(sent, encoded))
	case "relation":
		var to *struct{ ID string }
		if data := raw.Relationships[name].Data; data != nil {
			if err := json.Unmarshal(data, &to); err != nil {
				return err
			}
		}
		switch {
		case (to == nil) != read.IsNil():
			return fmt.Errorf("read one: %v, sent one: %v", !read.IsNil(), to != nil)
		case to != nil && read.Elem().Field(0).String() != to.ID:
			return fmt.Errorf("read %q, sent %q", read.Elem().Field(0), to.ID)
		}
	}
	return nil
}

func differs(sent, read []byte) error {
	var a, b any
	if err := errors.Join(json.Unmarshal(sent, &a), json.Unmarshal(read, &b)); err != nil {
		return err
	}
	if reflect.DeepEqual(a, b) { // for there are many
		return nil
	}
	return fmt.Errorf("(-sent +read):\n%s", cmp.Diff(a, b))
}

// TestEveryTypeIsDeclared for the library, of those that are described.
func TestEveryTypeIsDeclared(t *testing.T) {
	t.Parallel()
	types := declared()
	for name, schema := range describe(t).doc.Components.Schemas {
		typ := schema.Value.Properties["type"]
		if schema.Value.Properties["attributes"] == nil || typ == nil {
			continue
		}
		if declared := types[fmt.Sprint(typ.Value.Const)]; declared == nil {
			t.Errorf("the type %v of %s is not", typ.Value.Const, name)
		}
	}
}

// TestTheOracleUnderstands what it should, and nothing else.
func TestTheOracleUnderstands(t *testing.T) {
	t.Parallel()
	const note = `{"id":"NT1","type":"notes","attributes":{"text":"x","created_at":"2025-11-03T08:15:00.120Z"}}`
	const host = `{"id":"HT1","type":"hosts","relationships":{"property":{"data":{"id":"PR1","type":"properties"}}}}`
	for body, want := range map[string]string{
		`{"data":null}`:           "",
		`{"data":[]}`:             "",
		`{"data":` + note + `}`:   "",
		`{"data":[` + host + `]}`: "",
		strings.Replace(`{"data":`+note+`}`, "120Z", "12Z", 1):          "created_at of notes",
		strings.Replace(`{"data":`+note+`}`, `"x"`, `7`, 1):             "known number type",
		strings.Replace(`{"data":`+note+`}`, `"text"`, `"body"`, 1):     "[body]",
		strings.Replace(`{"data":`+note+`}`, `"notes"`, `"letters"`, 1): "letters",
		strings.Replace(`{"data":`+host+`}`, `"properties"`, `"x"`, 1):  "\"properties\" does not match",
	} {
		a := answer{200, map[string][]string{"Content-Type": {jsonapi.MediaType}}, []byte(body)}
		if err := understood(a); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	bad := answer{404, map[string][]string{"Content-Type": {jsonapi.MediaType}}, []byte(`{"errors":[{"status":404}]}`)}
	if understood(bad) == nil {
		t.Error("a status that is a number was understood")
	}
}
