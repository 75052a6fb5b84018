package msd

import (
	"fmt"
	"strings"
)

// text shows all of a decoded message, as testdata/vectors.txt has it.
func text(m MSD, flags Flags, err error) string {
	if err != nil {
		return "fails"
	}
	var s strings.Builder
	fmt.Fprintf(&s, "v%d id %d", m.Version, m.ID)
	for _, b := range []struct {
		on   bool
		text string
	}{{m.Automatic, "automatic"}, {m.Test, "test"}, {m.Trusted, "trusted"}} {
		if b.on {
			s.WriteString(" " + b.text)
		}
	}
	fmt.Fprintf(&s, " type %d vin %s storage %07b ts %d at %d/%d dir %d", m.Type, string(m.VIN[:]), m.Storage,
		m.Timestamp, m.Position.Latitude, m.Position.Longitude, m.Direction)
	for i, d := range []Delta{m.N1, m.N2} {
		if d.Present {
			fmt.Fprintf(&s, " n%d %d/%d", i+1, d.Latitude, d.Longitude)
		}
	}
	if m.Occupants.Present {
		fmt.Fprintf(&s, " occupants %d", m.Occupants.Count)
	}
	if m.Additional != nil {
		fmt.Fprintf(&s, " oid %s %X", m.Additional.OID, m.Additional.Data)
		if i, ok := m.Additional.Impact(); ok {
			s.WriteString(" = " + impactText(i))
		}
	}
	for i, name := range []string{"bad-direction", "bad-position", "unknown-type", "additions", "not-canonical"} {
		if flags>>i&1 == 1 {
			s.WriteString(" [" + name + "]")
		}
	}
	return s.String()
}

func impactText(i Impact) string {
	return fmt.Sprintf("side %d rollover %d range %d %d/%d", i.Side, i.Rollover, i.Range, i.X, i.Y)
}
