// Package memory is a log and a settlement record in memory, for unit tests of what stands between
// a bus and a handler. It keeps the promises of its ports towards one process, counts what is
// written, and can be made to fail. It is no store for services: nothing survives it.
package memory

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/leat-dev/leat/app/deadletter"
	"github.com/leat-dev/leat/app/event"
	"github.com/leat-dev/leat/app/eventlog"
	"github.com/leat-dev/leat/app/settle"
	"github.com/leat-dev/leat/domain"
)

// Store is the log and the record. Hooks may be set before it is used.
type Store struct {
	// OnSettle is called before an outcome is written; its error is returned in place of writing.
	OnSettle func(w settle.Work) error
	// OnRead is called before a read of the log; its error is returned.
	OnRead func() error

	clock clockwork.Clock

	mu       sync.Mutex
	events   []event.Envelope
	statuses map[string]settle.Status
	parked   map[string]map[int64]settle.Parked
	leases   map[lane]*lease
	letters  []deadletter.Letter
	works    []settle.Work
	reads    int
	claims   int
	notes    int
	appended chan struct{}
	changed  chan struct{}
	shared   chan struct{}

	attending map[string]map[string]attendant // by set and owner
}

type attendant struct {
	lanes   int
	expires time.Time
}

type lane struct {
	set string
	n   int
}

type lease struct {
	settle.Lease
	expires time.Time
	held    bool
}

var (
	_ settle.Store    = (*Store)(nil)
	_ eventlog.Reader = (*Store)(nil)
)

// New returns an empty store.
func New(clock clockwork.Clock) *Store {
	return &Store{
		clock: clock, statuses: map[string]settle.Status{}, parked: map[string]map[int64]settle.Parked{},
		leases: map[lane]*lease{}, appended: make(chan struct{}), changed: make(chan struct{}),
		shared: make(chan struct{}), attending: map[string]map[string]attendant{},
	}
}

// Append puts events into the log and returns them with their positions.
func (s *Store) Append(events ...event.Envelope) []event.Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		events[i].Position = int64(len(s.events) + 1)
		events[i].Slot = event.SlotOf(events[i].Tenant, events[i].PartitionKey)
		events[i].Recorded = s.clock.Now().UTC()
		s.events = append(s.events, events[i])
	}
	close(s.appended)
	s.appended = make(chan struct{})
	return events
}

// Appended is closed at the next Append.
func (s *Store) Appended() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appended
}

// Works returns what was settled, in order.
func (s *Store) Works() []settle.Work {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.works)
}

// Letters returns the dead letters, oldest first.
func (s *Store) Letters() []deadletter.Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// Reads counts the reads of the log.
func (s *Store) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Claims counts the claims to lanes.
func (s *Store) Claims() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims
}

// Read implements eventlog.Reader.
func (s *Store) Read(_ context.Context, after int64, slots eventlog.SlotSet, limit int) ([]event.Envelope, int64, error) {
	if s.OnRead != nil {
		if err := s.OnRead(); err != nil {
			return nil, 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	var found []event.Envelope
	for _, e := range s.events {
		if e.Position > after && slots.Has(e.Slot) {
			if found = append(found, e); len(found) == limit {
				return found, e.Position, nil
			}
		}
	}
	return found, int64(len(s.events)), nil
}

// At implements eventlog.Reader.
func (s *Store) At(_ context.Context, positions ...int64) ([]event.Envelope, error) {
	if s.OnRead != nil {
		if err := s.OnRead(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []event.Envelope
	for _, e := range s.events {
		if slices.Contains(positions, e.Position) {
			found = append(found, e)
		}
	}
	return found, nil
}

// Bounds implements eventlog.Reader.
func (s *Store) Bounds(context.Context) (first, last int64, err error) {
	if s.OnRead != nil {
		if err := s.OnRead(); err != nil {
			return 0, 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(min(len(s.events), 1)), int64(len(s.events)), nil
}

// Register implements settle.Store; every set begins at the start.
func (s *Store) Register(_ context.Context, r settle.Registration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, known := s.statuses[r.Set]
	status.Set = r.Set
	var grown bool
	if status.Types, grown = r.Union(status.Types); grown && known {
		for _, l := range s.lanesOf(r.Set) {
			if l.held && l.expires.After(s.clock.Now()) {
				l.held, l.InHand, l.Attempts = false, 0, 0
			}
			l.Fence++
		}
		s.announce()
	}
	s.statuses[r.Set] = status
	return nil
}

// Forget implements settle.Store.
func (s *Store) Forget(_ context.Context, set string, types ...string) (settle.Forgotten, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, known := s.statuses[set]
	if !known {
		return settle.Forgotten{}, unknown(set)
	}
	if owner := s.liveOwner(set); owner != "" {
		return settle.Forgotten{}, settle.AtWork(set, owner)
	}
	if len(types) > 0 {
		rest, err := settle.Without(set, status.Types, types)
		if err != nil {
			return settle.Forgotten{}, err
		}
		status.Types = rest
		s.statuses[set] = status
		s.announce()
		return settle.Forgotten{Types: types}, nil
	}
	gone := settle.Forgotten{Types: status.Types, Cursors: event.Slots, Parked: len(s.parked[set])}
	for _, l := range s.lanesOf(set) {
		l.held, l.InHand, l.Attempts = false, 0, 0 // the fence stays
	}
	delete(s.statuses, set)
	delete(s.parked, set)
	s.announce()
	return gone, nil
}

func unknown(set string) error {
	return domain.Errorf(domain.NotFound, "HANDLER_NOT_FOUND", "no handler set %q is known", set)
}

// lanesOf returns the lanes of a set by number.
func (s *Store) lanesOf(set string) []*lease {
	var all []*lease
	for _, l := range s.leases {
		if l.Set == set {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *lease) int { return a.Lane - b.Lane })
	return all
}

func (s *Store) liveOwner(set string) string {
	for _, l := range s.lanesOf(set) {
		if l.held && l.expires.After(s.clock.Now()) {
			return l.Owner
		}
	}
	return ""
}

// Statuses implements settle.Store.
func (s *Store) Statuses(context.Context) (map[string]settle.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.statuses)
	for name, status := range all {
		for _, l := range s.lanesOf(name) {
			if l.held && l.expires.After(s.clock.Now()) {
				status.Holds(l.Owner, 1)
			}
		}
		all[name] = status
	}
	return all, nil
}

// SetPaused implements settle.Store.
func (s *Store) SetPaused(_ context.Context, set string, paused bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, known := s.statuses[set]
	if !known {
		return unknown(set)
	}
	status.Paused = paused
	s.statuses[set] = status
	s.announce()
	return nil
}

// Redrive parks an event as one that was given back from the dead letters.
func (s *Store) Redrive(set string, e event.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.park(set, settle.Parked{Position: e.Position, Slot: e.Slot, Key: e.Key(), State: settle.Redrive, Due: s.clock.Now()})
	s.announce()
}

func (s *Store) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// ParkedChanged implements settle.Store.
func (s *Store) ParkedChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// LanesChanged implements settle.Store.
func (s *Store) LanesChanged() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shared
}

func (s *Store) announceLanes() {
	close(s.shared)
	s.shared = make(chan struct{})
}

// Attend implements settle.Store.
func (s *Store) Attend(_ context.Context, c settle.Claim) (settle.Attendance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims++
	status, known := s.statuses[c.Set]
	if !known {
		return settle.Attendance{}, unknown(c.Set)
	}
	if err := c.Covers(status.Types); err != nil {
		return settle.Attendance{}, err
	}
	now := s.clock.Now()
	a := settle.Attendance{Free: settle.AllLanes(c.Lanes)}
	if status.Lanes == c.Lanes {
		a.Free = slices.DeleteFunc(a.Free, func(number int) bool {
			l, taken := s.leases[lane{c.Set, number}]
			return taken && l.held && l.expires.After(now) && l.Owner != c.Owner
		})
	} else if owner := s.liveOwner(c.Set); owner != "" {
		return settle.Attendance{}, &settle.OtherLanes{Set: c.Set, InForce: status.Lanes, Claimed: c.Lanes, Owner: owner}
	}
	if s.attending[c.Set] == nil {
		s.attending[c.Set] = map[string]attendant{}
	}
	if before := s.attending[c.Set][c.Owner]; before.lanes != c.Lanes || !before.expires.After(now) {
		s.announceLanes()
	}
	s.attending[c.Set][c.Owner] = attendant{c.Lanes, now.Add(c.TTL)}
	for _, one := range s.attending[c.Set] {
		if one.lanes == c.Lanes && one.expires.After(now) {
			a.Owners++
		}
	}
	return a, nil
}

// Leave implements settle.Store.
func (s *Store) Leave(_ context.Context, set, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attending[set], owner)
	s.announceLanes()
	return nil
}

// Acquire implements settle.Store.
func (s *Store) Acquire(_ context.Context, c settle.Claim) (settle.Lease, bool, error) {
	if err := c.Validate(); err != nil {
		return settle.Lease{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims++
	status, known := s.statuses[c.Set]
	if !known {
		return settle.Lease{}, false, unknown(c.Set)
	}
	if err := c.Covers(status.Types); err != nil {
		return settle.Lease{}, false, err
	}
	if status.Lanes != c.Lanes {
		if owner := s.liveOwner(c.Set); owner != "" {
			return settle.Lease{}, false, &settle.OtherLanes{Set: c.Set, InForce: status.Lanes, Claimed: c.Lanes, Owner: owner}
		}
		s.dealAnew(c.Set, c.Lanes)
		status.Lanes = c.Lanes
		s.statuses[c.Set] = status
	}
	l := s.leases[lane{c.Set, c.Lane}]
	live := l.held && l.expires.After(s.clock.Now())
	if live && l.Owner != c.Owner {
		return settle.Lease{}, false, nil
	}
	l.TakenOver = l.held && !live
	if l.TakenOver && l.InHand != 0 {
		l.Attempts++
	}
	l.Owner, l.held, l.expires = c.Owner, true, s.clock.Now().Add(c.TTL)
	l.Fence++
	return l.Lease, true, nil
}

func (s *Store) dealAnew(set string, lanes int) {
	var fence int64
	died := false
	for _, l := range s.lanesOf(set) {
		fence, died = max(fence, l.Fence), died || l.held
		delete(s.leases, lane{set, l.Lane})
	}
	for n := range lanes {
		s.leases[lane{set, n}] = &lease{Lease: settle.Lease{Set: set, Lane: n, Fence: fence + 1}, held: died}
	}
}

// Renew implements settle.Store.
func (s *Store) Renew(_ context.Context, leases []settle.Lease, ttl time.Duration) (lost []settle.Lease, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range leases {
		if s.fenced(l) {
			lost = append(lost, l)
			continue
		}
		s.leases[lane{l.Set, l.Lane}].expires = s.clock.Now().Add(ttl)
	}
	return lost, nil
}

// Release implements settle.Store.
func (s *Store) Release(_ context.Context, l settle.Lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fenced(l) {
		have := s.leases[lane{l.Set, l.Lane}]
		have.held, have.InHand, have.Attempts = false, 0, 0
		s.announceLanes()
	}
	return nil
}

// Steal gives a lane to another owner, as if its lease had run out.
func (s *Store) Steal(set string, n int, owner string) settle.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[lane{set, n}]
	l.Owner, l.expires = owner, s.clock.Now().Add(time.Hour)
	l.Fence++
	return l.Lease
}

// Notes counts what was noted as in hand.
func (s *Store) Notes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes
}

// NoteInHand implements settle.Store.
func (s *Store) NoteInHand(_ context.Context, l settle.Lease, position int64, attempts int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced(l) {
		return settle.ErrFenced
	}
	s.notes++
	have := s.leases[lane{l.Set, l.Lane}]
	have.InHand, have.Attempts = position, attempts
	return nil
}

func (s *Store) fenced(l settle.Lease) bool {
	have := s.leases[lane{l.Set, l.Lane}]
	return have == nil || !have.held || have.Fence != l.Fence
}

// Settle implements settle.Store.
func (s *Store) Settle(ctx context.Context, w settle.Work) error {
	if s.OnSettle != nil {
		if err := s.OnSettle(w); err != nil {
			return err
		}
	}
	s.mu.Lock()
	fenced := s.fenced(w.Lease)
	settled := w.First && w.Event.Position <= s.statuses[w.Lease.Set].Cursors[w.Event.Slot]
	if _, parked := s.parked[w.Lease.Set][w.Event.Position]; !w.First && !parked {
		settled = true
	}
	s.mu.Unlock()
	if fenced {
		return settle.ErrFenced
	}
	if settled {
		return settle.ErrSettled
	}
	if w.Effect != nil {
		if err := w.Effect(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.works = append(s.works, w)
	set := w.Lease.Set
	if w.First {
		s.move(set, w.Event.Slot, w.Event.Position)
	}
	if w.Park != nil {
		s.park(set, *w.Park)
		return nil
	}
	delete(s.parked[set], w.Event.Position)
	if w.Dead != nil {
		s.letters = append(s.letters, *w.Dead)
	}
	return nil
}

func (s *Store) park(set string, p settle.Parked) {
	if s.parked[set] == nil {
		s.parked[set] = map[int64]settle.Parked{}
	}
	s.parked[set][p.Position] = p
}

func (s *Store) move(set string, slot int, position int64) {
	status := s.statuses[set]
	status.Cursors[slot] = max(status.Cursors[slot], position)
	s.statuses[set] = status
}

// Advance implements settle.Store.
func (s *Store) Advance(_ context.Context, l settle.Lease, cursors map[int]int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced(l) {
		return settle.ErrFenced
	}
	for slot, position := range cursors {
		s.move(l.Set, slot, position)
	}
	return nil
}

// Parked implements settle.Store.
func (s *Store) Parked(_ context.Context, set string, slots []int) ([]settle.Parked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parked []settle.Parked
	for _, p := range s.parked[set] {
		if slices.Contains(slots, p.Slot) {
			parked = append(parked, p)
		}
	}
	slices.SortFunc(parked, func(a, b settle.Parked) int { return int(a.Position - b.Position) })
	return parked, nil
}
