// Package api holds the use cases of Rekindle: what can be done to companies,
// properties, environments and secrets, whoever asks and by whichever door.
// Package reactor is the door for HTTP.
//
// It promises
//   - that what a use case has answered is stored, and seen by every later
//     question to the same [Service];
//   - that whatever is refused changes nothing, and that a refusal names
//     everything that is wrong, not the first thing only;
//   - that names, and the one place a property has for a staging and for a
//     production environment, are given away once, by compare-and-swap, however
//     many processes try;
//   - that what a crash left half done is put right by any process that runs;
//   - that no change is made without a word: what is to be told of it, to whom and by
//     whom, is part of the same commit.
//
// It refuses to know what it keeps: hidden credentials are sealed, field by
// field, before anything is written, with keys that cannot open them. Until the
// fleet's public keyset is known nothing can be created.
//
//	           use cases                         follow
//	doors ───► validate ─► seal ─► commit ─► [ state ] ───► projection
//	             ▲                   │                        │   │
//	             │                   └─► outbox ─► announce   │   └─► half-done
//	             └──────────── lists, look-ups ◄──────────────┘        deletes ─► heal
//
// Questions are answered from a projection of the state in memory, which
// follows it. A writer waits until the projection has come to its own write. A
// look-up that finds nothing asks the state itself, and waits for the
// projection if there is something: what one process has made is found through
// every other at once. The other way round there is a bound, not a promise:
// another process may list what it has not heard of late, and show what was
// deleted, for as long as its projection is behind the state, which is
// milliseconds unless it is cut off from it. What is changed is decided on the
// state alone.
//
// # Deleting
//
// A property or an environment is deleted by removing its one record; at that
// moment all beneath it is out of sight. What is still to be done, the
// projection knows at every moment (an environment or a secret whose property
// is gone, a secret whose environment is gone), and a healer works it off. So a
// delete of any size is one commit, and one that was interrupted goes on by
// itself. In the same way any process ends a build that is pending.
package api
