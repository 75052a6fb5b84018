package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// A table holds every message of the DBC files by identifier, with all texts
// that can be written beforehand.
type table struct {
	standard [canbus.MaxStandardID + 1]*entry
	extended map[uint32]*entry
	json     bool
	values   []dbc.Value // scratch
}

// An entry is one message. Its fields are numbered as the values of plan.
type entry struct {
	plan   *dbc.Plan
	number int
	fields []field // of all messages of its file
	head   []byte  // as it stands before the signals
}

func newTable(json bool) *table { return &table{extended: map[uint32]*entry{}, json: json} }

// add takes in the messages of f that no file before has, and says which it had
// to leave out.
func (t *table) add(f *dbc.File) (hidden []string, err error) {
	var wanted []dbc.Ref
	var added []*dbc.Message
	for _, m := range f.Messages {
		if t.lookup(m.ID, m.Extended) != nil {
			hidden = append(hidden, fmt.Sprintf("message %s (%X): an earlier file describes this identifier", m.Name, m.ID))
			continue
		}
		if f.Message(m.Name) != m {
			hidden = append(hidden, fmt.Sprintf("message %s (%X): a later message has its name", m.Name, m.ID))
			continue
		}
		added = append(added, m)
		for _, s := range m.Signals {
			wanted = append(wanted, dbc.Ref{Message: m.Name, Signal: s.Name})
		}
	}
	plan, err := dbc.Compile(f, wanted)
	if errors.Is(err, dbc.ErrAbsent) { // signals of a multiplexer without a switch: nobody knows when they are there
		wanted = slices.DeleteFunc(wanted, func(r dbc.Ref) bool { _, err := dbc.Compile(f, []dbc.Ref{r}); return err != nil })
		plan, err = dbc.Compile(f, wanted)
	}
	if err != nil {
		return nil, err
	}
	fields := make([]field, len(wanted))
	for i, r := range wanted {
		fields[i] = newField(f.Message(r.Message).Signal(r.Signal), t.json)
	}
	if len(t.values) < plan.Most() {
		t.values = make([]dbc.Value, plan.Most())
	}
	for _, m := range added {
		t.put(m, &entry{plan, plan.Lookup(m.ID, m.Extended), fields, head(m, t.json)})
	}
	return hidden, nil
}

func (t *table) put(m *dbc.Message, e *entry) {
	if m.Extended {
		t.extended[m.ID] = e
	} else {
		t.standard[m.ID] = e
	}
}

func (t *table) lookup(id uint32, extended bool) *entry {
	switch {
	case extended:
		return t.extended[id]
	case id < uint32(len(t.standard)):
		return t.standard[id]
	}
	return nil
}

// find is the message of a frame; nil for one that no file describes, and for an
// error frame.
func (t *table) find(f *canbus.Frame) *entry {
	if f.Flags&canbus.Error != 0 {
		return nil
	}
	return t.lookup(f.ID, f.Flags&canbus.Extended != 0)
}
