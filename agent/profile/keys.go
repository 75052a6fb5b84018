package profile

import "time"

// Keys says how the car proves that somebody owns it.
type Keys struct {
	Method string  // "tkov": unlock pressed on two keys; "code": a code; "sync"
	Listen Send    // asks the car to show pressed keys; zero: it always does
	Ready  Confirm // the car listens; zero: not asked
	Press  Press
}

// Press says where a pressed key is seen.
type Press struct {
	Key, Button, Count     SignalRef // which key, which button, number of the press
	Genuine, Weak, Learned SignalRef // zero: the car does not say
	Unlock                 int64     // raw value of Button
	Physical               Span      // raw values of Key that are keys of metal and radio
	Digital                []int64   // raw values of Key that are phones
}

// Diagnostics says which control units may be asked, and when.
type Diagnostics struct {
	Bus        string
	Functional uint32
	Ignition   Value // word of Vehicle.LowVoltageSystemState that allows it; none: any
	Moving     bool  // allowed while moving
	ECUs       []ECU
}

// An ECU is one control unit on its diagnostic addresses.
type ECU struct {
	Name            string
	Request, Answer uint32
	Read            map[uint16]string // data identifiers and what they hold
}

func (c *checker) keys(n *node) {
	k := &Keys{}
	c.mapping(n, "keys", fields{
		"method": func(n *node) { k.Method, _ = c.choice(n, "method", "tkov", "code", "sync") },
		"listen": func(n *node) { c.listen(n, k) },
		"press":  func(n *node) { c.press(n, k) },
	}, "method")
	if k.Method == "tkov" && !n.has("press") {
		c.at(n, "method tkov needs \"press\": where pressed keys are seen")
	}
	c.p.Keys = k
}

func (c *checker) listen(n *node, k *Keys) {
	rest := *n
	rest.keys = nil
	for _, e := range n.keys {
		if e.key.text != "ready" {
			rest.keys = append(rest.keys, e)
		}
	}
	k.Listen = c.sending(&rest, "listen", nil, false)
	c.section(n, "ready", func(n *node) {
		cond, _, _, _ := c.condition(n, "ready", fields{
			"within": func(n *node) { k.Ready.Within, _ = c.duration(n, "within", 100*time.Millisecond, time.Minute) },
		})
		k.Ready.Signal, k.Ready.Is = cond.Signal, Int(cond.Is)
		if !n.has("within") {
			c.at(n, "ready lacks \"within\"")
		}
	})
}

func (c *checker) press(n *node, k *Keys) {
	var m *Message
	c.section(n, "message", func(n *node) { m, _ = c.message(n, "press: message") })
	signal := func(ref *SignalRef) func(*node) {
		return func(n *node) {
			name, ok := c.text(n, "press")
			if !ok || m == nil {
				return
			}
			if d, ok := c.signalOf(n, "press", m, name); ok {
				*ref = c.read(m, d)
			}
		}
	}
	p := &k.Press
	c.mapping(n, "press", fields{
		"message": func(*node) {},
		"key":     signal(&p.Key), "button": signal(&p.Button), "count": signal(&p.Count),
		"genuine": signal(&p.Genuine), "weak": signal(&p.Weak), "learned": signal(&p.Learned),
		"unlock": func(n *node) { p.Unlock, _ = c.whole(n, "unlock", 0, 1<<31) },
		"physical": func(n *node) {
			var v []int64
			c.list(n, "physical", 2, func(item *node) {
				x, _ := c.whole(item, "physical", 0, 1<<31)
				v = append(v, x)
			})
			if len(v) != 2 || v[0] >= v[1] {
				c.at(n, "physical must be [first, last], with at least two keys")
				return
			}
			p.Physical = Span{v[0], v[1]}
		},
		"digital": func(n *node) {
			c.list(n, "digital", 16, func(item *node) {
				v, _ := c.whole(item, "digital", 0, 1<<31)
				p.Digital = append(p.Digital, v)
			})
		},
	}, "message", "key", "button", "unlock", "count", "physical")
	for _, d := range p.Digital {
		if p.Physical.Has(d) {
			c.at(n, "press: key %d is physical and digital", d)
		}
	}
}

func (c *checker) diagnostics(n *node) {
	d := &Diagnostics{Ignition: Word("ON")}
	id := func(v *uint32) func(*node) {
		return func(n *node) {
			x, _ := c.whole(n, "an address", 1, 1<<29-1)
			*v = uint32(x)
		}
	}
	c.mapping(n, "diagnostics", fields{
		"bus": func(n *node) {
			if name, ok := c.text(n, "bus"); ok {
				c.bus(n, "diagnostics", name)
				d.Bus = name
			}
		},
		"functional": id(&d.Functional),
		"allow": func(n *node) {
			c.mapping(n, "allow", fields{
				"ignition": func(n *node) { d.Ignition, _ = c.literal(n, "ignition", Must("Vehicle.LowVoltageSystemState")) },
				"moving":   func(n *node) { d.Moving, _ = c.boolean(n, "moving") },
			})
		},
		"ecus": func(n *node) {
			c.list(n, "ecus", 100, func(item *node) {
				var e ECU
				c.mapping(item, "an ECU", fields{
					"name":    func(n *node) { e.Name, _ = c.text(n, "name") },
					"request": id(&e.Request),
					"answer":  id(&e.Answer),
					"read":    func(n *node) { e.Read = c.reads(n) },
				}, "name", "request", "answer")
				if e.Request == e.Answer {
					c.at(item, "ECU %q: request and answer are the same address", e.Name)
				}
				d.ECUs = append(d.ECUs, e)
			})
		},
	}, "bus", "ecus")
	c.p.Diagnostics = d
}

func (c *checker) reads(n *node) map[uint16]string {
	reads := make(map[uint16]string)
	c.pairs(n, "read", func(key, value *node) {
		id, ok1 := c.whole(key, "a data identifier", 0, 1<<16-1)
		what, ok2 := c.name(value, "what it holds")
		if ok1 && ok2 {
			reads[uint16(id)] = what
		}
	})
	return reads
}
