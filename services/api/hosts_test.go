package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

const sftp = `{"data":{"attributes":{"name":"ours","type_of":"sftp","server":"sftp.example.org","username":"u","encrypted_private_key":%q}}}`

func (w *world) storedHost(t testing.TB, id string) *api.Host {
	t.Helper()
	body, _, err := w.State.Get(t.Context(), state.HostKey(id))
	if err != nil {
		t.Fatal(err)
	}
	h := new(api.Host)
	if err := json.Unmarshal(body, h); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestAHostsKeyIsSealed: what is stored opens to what was sent, bound to the host and
// the generation, and what is answered has nothing of it.
func TestAHostsKeyIsSealed(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	opener := apitest.PublishKeyset(t, st)
	w := &world{Process: apitest.Start(t, st, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	property := w.newProperty(t, "web")
	made := must[*api.Host](t)(w.Service.CreateHost(t.Context(), apitest.Caller(), property.ID, document(t, sftp, "first-key")))
	for i, key := range []string{"first-key", "second-key"} {
		if i > 0 {
			must[*api.Host](t)(w.Service.ChangeHost(t.Context(), apitest.Caller(), made.ID,
				document(t, `{"data":{"attributes":{"encrypted_private_key":%q}}}`, key)))
		}
		field := w.storedHost(t, made.ID).PrivateKey
		plain, err := opener.Open(seal.Binding{Secret: made.ID, Field: "encrypted_private_key", Generation: uint64(i + 1)}, field.Sealed)
		if err != nil || string(plain.Reveal()) != key {
			t.Errorf("generation %d: the key does not open to what was sent (%v)", i+1, err)
		}
		found := must[*api.Host](t)(w.Service.Host(t.Context(), apitest.Caller(), made.ID))
		if found.PrivateKey.Sealed != nil || found.PrivateKey.Generation != uint64(i+1) {
			t.Errorf("the projection has the sealed key, or generation %d", found.PrivateKey.Generation)
		}
	}
}

// older makes of a property one of before there were records of hosts.
func (w *world) older(t testing.TB, p *api.Property) {
	t.Helper()
	_, rev, err := w.State.Get(t.Context(), state.HostKey(p.Host))
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	if _, err := w.State.Commit(t.Context(), state.Write{Key: state.HostKey(p.Host), Expect: rev}); err != nil {
		t.Fatal(err)
	}
	w.Process = apitest.Start(t, w.State, api.Config{})
}

// TestTheHostOfAnOlderProperty answers like one that has a record, and gets one when
// it is written.
func TestTheHostOfAnOlderProperty(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world, p *api.Property) error{
		"read": func(w *world, p *api.Property) error { return nil },
		"renamed": func(w *world, p *api.Property) error {
			h, err := w.Service.ChangeHost(t.Context(), apitest.Caller(), p.Host, document(t, `{"data":{"attributes":{"name":"Akamai"}}}`))
			if err == nil && h.Tag() == "" {
				return errors.New("no tag")
			}
			return err
		},
		"used": func(w *world, p *api.Property) error {
			_, err := newEnvironment(t, w.Service, p.ID, "staging")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.property
			before := must[*api.Host](t)(w.Service.Host(t.Context(), apitest.Caller(), p.Host))
			w.older(t, p)
			if err := change(w, p); err != nil {
				t.Fatal(err)
			}
			found := must[*api.Host](t)(w.Service.Host(t.Context(), apitest.Caller(), p.Host))
			if found.Tag() != before.Tag() {
				t.Errorf("the host is %+v, want %+v", found.Name, before.Name)
			}
			hosts, err := w.Service.Hosts(t.Context(), apitest.Caller(), p.ID, everything[*api.Host]())
			if err != nil || hosts.Total != 1 {
				t.Errorf("%d hosts are listed (%v), want one", hosts.Total, err)
			}
			if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), p.ID); err != nil {
				t.Fatal(err)
			}
			settled(t, w.State, p.ID, 0)
			if _, err := w.Service.Host(t.Context(), apitest.Caller(), p.Host); !errors.Is(err, api.ErrNotFound) {
				t.Errorf("the host of a deleted property: got error %v, want ErrNotFound", err)
			}
		})
	}
}

// TestDeletingHosts: not while an environment is on it; and who deletes the default one
// has to name another from then on.
func TestDeletingHosts(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{false, true} {
		t.Run(fmt.Sprint("older ", older), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.property
			if older {
				w.older(t, p)
			}
			e := must[*api.Environment](t)(newEnvironment(t, w.Service, p.ID, "staging"))
			if err := w.Service.DeleteHost(t.Context(), apitest.Caller(), p.Host); code(err) != api.HostInUse {
				t.Fatalf("a host in use: got error %v, want HostInUse", err)
			}
			if err := w.Service.DeleteEnvironment(t.Context(), apitest.Caller(), e.ID); err != nil {
				t.Fatal(err)
			}
			if err := w.Service.DeleteHost(t.Context(), apitest.Caller(), p.Host); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Service.Host(t.Context(), apitest.Caller(), p.Host); !errors.Is(err, api.ErrNotFound) {
				t.Errorf("a deleted host: got error %v, want ErrNotFound", err)
			}
			if _, err := newEnvironment(t, w.Service, p.ID, "staging"); code(err) != api.HostRequired {
				t.Errorf("an environment on no host: got error %v, want HostRequired", err)
			}
			other := must[*api.Host](t)(w.Service.CreateHost(t.Context(), apitest.Caller(), p.ID, document(t, sftp, "k")))
			on := must[*api.Environment](t)(w.Service.CreateEnvironment(t.Context(), apitest.Caller(), p.ID,
				document(t, `{"data":{"attributes":{"name":"e"},"relationships":{"host":{"data":{"id":%q,"type":"hosts"}}}}}`, other.ID)))
			if on.Host != other.ID {
				t.Errorf("the environment is on %s, want %s", on.Host, other.ID)
			}
		})
	}
}

// TestAHostIsUsedOrDeleted lets one process delete a host and another make an
// environment on it, at the same time: one of the two is refused.
func TestAHostIsUsedOrDeleted(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{false, true} {
		t.Run(fmt.Sprint("older ", older), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for round := range 20 {
				p := w.newProperty(t, "edge")
				if older {
					w.older(t, p)
				}
				other := apitest.Start(t, w.State, api.Config{})
				errs := together(2, func(i int) error {
					if i == 0 {
						return other.Service.DeleteHost(t.Context(), apitest.Caller(), p.Host)
					}
					_, err := newEnvironment(t, w.Service, p.ID, "development")
					return err
				})
				other.Stop()
				if (errs[0] == nil) == (errs[1] == nil) {
					t.Fatalf("round %d: the delete ended with %v and the environment with %v, want one of the two refused", round, errs[0], errs[1])
				}
				if errs[0] != nil && code(errs[0]) != api.HostInUse || errs[1] != nil && code(errs[1]) != api.HostRequired && code(errs[1]) != api.NotFound {
					t.Fatalf("round %d: got %v and %v", round, errs[0], errs[1])
				}
			}
		})
	}
}

// TestTheHostOfAnOlderPropertyIsDeletedMeanwhile: a record of a host is not made again by
// whoever has looked for one before it was deleted.
func TestTheHostOfAnOlderPropertyIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.property
	w.older(t, p)
	slow := &interrupted{Store: w.State, key: state.HostKey(p.Host)}
	late := apitest.Start(t, slow, api.Config{})
	slow.first = func() error { return w.Service.DeleteHost(t.Context(), apitest.Caller(), p.Host) }
	if _, err := newEnvironment(t, late.Service, p.ID, "development"); code(err) != api.NotFound {
		t.Errorf("an environment on a host that is deleted meanwhile: got error %v, want NotFound", err)
	}
	if _, _, err := w.State.Get(t.Context(), slow.key); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the record of the host: got error %v, want ErrNotFound", err)
	}
}
