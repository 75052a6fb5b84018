package profile

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Path is the number of a leaf of the catalogue: COVESA VSS 6.0 (what we use
// of it, vss.tsv) and our names beside it (overlay.tsv). The zero Path is no
// leaf. Numbers are good within one build only: store and send the name.
type Path uint16

// A Leaf is what the catalogue says of one path.
type Leaf struct {
	Name     string
	Type     Type
	Unit     string   // as VSS names it, such as "km/h"; empty: none
	Min, Max float64  // in Unit; of the type where the catalogue says nothing
	Allowed  []string // of a string leaf: nil means any text
	Overlay  bool     // ours, not of VSS
}

// A Type is a VSS data type.
type Type string

// The types of the leaves in the catalogue.
const (
	TypeBool    Type = "boolean"
	TypeInt8    Type = "int8"
	TypeInt32   Type = "int32"
	TypeUint8   Type = "uint8"
	TypeUint16  Type = "uint16"
	TypeUint32  Type = "uint32"
	TypeFloat   Type = "float"
	TypeDouble  Type = "double"
	TypeString  Type = "string"
	TypeStrings Type = "string[]"
)

// VIN is the leaf whose values hide themselves, see [Masked].
const VIN = "Vehicle.VehicleIdentification.VIN"

//go:embed vss.tsv
var vssTable string

//go:embed overlay.tsv
var overlayTable string

type catalogue struct {
	leaves []Leaf // by Path; 0 is unused
	paths  map[string]Path
}

var loadCatalogue = sync.OnceValue(func() *catalogue {
	c := &catalogue{leaves: make([]Leaf, 1, 128), paths: make(map[string]Path, 128)}
	for line := range strings.Lines(vssTable) {
		c.leaves = append(c.leaves, parseLeaf(line, false))
	}
	for line := range strings.Lines(overlayTable) {
		c.leaves = append(c.leaves, parseLeaf(line, true))
	}
	slices.SortFunc(c.leaves, func(a, b Leaf) int { return strings.Compare(a.Name, b.Name) })
	for i, l := range c.leaves {
		c.paths[l.Name] = Path(i)
	}
	delete(c.paths, "")
	return c
})

// parseLeaf reads one line of the embedded tables. A test reads them all, so a
// bad one cannot ship.
func parseLeaf(line string, overlay bool) Leaf {
	f := append(strings.Split(strings.TrimRight(line, "\n"), "\t"), "", "", "", "", "")
	l := Leaf{Name: f[0], Type: Type(f[1]), Unit: f[2], Overlay: overlay}
	l.Min, l.Max = l.Type.bounds()
	for i, bound := range []*float64{&l.Min, &l.Max} {
		if s := f[3+i]; s != "" {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				panic(fmt.Sprintf("catalogue: %s: %v", l.Name, err))
			}
			*bound = v
		}
	}
	if f[5] != "" {
		l.Allowed = strings.Split(f[5], ",")
	}
	return l
}

// bounds is the range of the type itself.
func (t Type) bounds() (lo, hi float64) {
	switch t {
	case TypeInt8:
		return math.MinInt8, math.MaxInt8
	case TypeInt32:
		return math.MinInt32, math.MaxInt32
	case TypeUint8:
		return 0, math.MaxUint8
	case TypeUint16:
		return 0, math.MaxUint16
	case TypeUint32:
		return 0, math.MaxUint32
	case TypeFloat:
		return -math.MaxFloat32, math.MaxFloat32
	case TypeBool, TypeDouble, TypeString, TypeStrings:
	}
	return -math.MaxFloat64, math.MaxFloat64
}

// Integer reports whether values of the type are whole numbers.
func (t Type) Integer() bool {
	return t == TypeInt8 || t == TypeInt32 || t == TypeUint8 || t == TypeUint16 || t == TypeUint32
}

// Number reports whether values of the type are numbers.
func (t Type) Number() bool { return t.Integer() || t == TypeFloat || t == TypeDouble }

// Find looks a full name up, such as "Vehicle.Speed".
func Find(name string) (Path, bool) {
	p, ok := loadCatalogue().paths[name]
	return p, ok
}

// Must is [Find] for names written in the program. It panics on a name that the
// catalogue lacks.
func Must(name string) Path {
	p, ok := Find(name)
	if !ok {
		panic("catalogue: no leaf " + name)
	}
	return p
}

// Paths is the number of paths: valid ones are 1 to Paths()-1.
func Paths() int { return len(loadCatalogue().leaves) }

// String is the full name; empty for the zero Path and for what is none.
func (p Path) String() string { return p.Leaf().Name }

// Leaf is what the catalogue says of p; the zero Leaf for what is no path.
func (p Path) Leaf() Leaf {
	if c := loadCatalogue(); int(p) < len(c.leaves) {
		return c.leaves[p]
	}
	return Leaf{}
}

// Named is [Find] with an error that says which name may have been meant.
func Named(name string) (Path, error) {
	if p, ok := Find(name); ok {
		return p, nil
	}
	return 0, fmt.Errorf("the catalogue has no %q%s", name, nearest(name, leafNames()))
}
