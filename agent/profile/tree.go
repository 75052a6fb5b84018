package profile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a profile. They also keep the YAML parser, which recurses, from
// running out of stack on a file made for that.
const (
	maxFile  = 256 << 10 // octets
	maxLine  = 2000      // octets
	maxDepth = 32        // mappings and lists within each other
)

type shape uint8

const (
	empty shape = iota // a key without a value
	scalar
	sequence
	mapping
)

// A node is one piece of YAML, without what a profile has no use for: anchors,
// tags, merge keys and multi-line texts are mistakes.
type node struct {
	shape  shape
	text   string // of a scalar, as written, without quotes
	quoted bool
	items  []*node // of a sequence
	keys   []entry // of a mapping
	line   int
	col    int
}

type entry struct{ key, value *node }

// parseTree reads the YAML. Everything that is wrong with it goes to c; nil means
// that there is nothing to go on with.
func (c *checker) parseTree(src []byte) *node {
	if !c.bounded(src) {
		return nil
	}
	file, err := parseYAML(src)
	if err != nil {
		c.syntax(err)
		return nil
	}
	var root *node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		n := c.convert(d.Body, 0)
		if root != nil {
			c.at(n, "a second document begins; a profile is one YAML document")
			break
		}
		root = n
	}
	if root == nil {
		c.at(&node{line: 1, col: 1}, "the file is empty; a profile begins with \"profile: 1\"")
	}
	return root
}

// parseYAML keeps a panic of the parser, which is not ours, from ending the
// program: such a file is a bad file.
func parseYAML(src []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("this is no YAML (%v)", r)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
}

func (c *checker) bounded(src []byte) bool {
	if len(src) > maxFile {
		c.at(&node{line: 1, col: 1}, "the file has %d octets; a profile has at most %d", len(src), maxFile)
		return false
	}
	line, depth := 0, 0
	for l := range bytes.Lines(src) {
		line++
		if len(l) > maxLine {
			c.at(&node{line: line, col: maxLine}, "the line has %d octets; write at most %d", len(l), maxLine)
			return false
		}
		if i := bytes.IndexByte(l, '\t'); i >= 0 && len(bytes.TrimSpace(l[:i])) == 0 && len(bytes.TrimSpace(l)) > 0 {
			c.at(&node{line: line, col: i + 1}, "a tab indents the line; YAML wants blanks")
			return false
		}
		open := bytes.Count(l, []byte("[")) + bytes.Count(l, []byte("{"))
		depth = max(0, depth+open-bytes.Count(l, []byte("]"))-bytes.Count(l, []byte("}")))
		if depth > maxDepth || open > maxDepth+64 {
			c.at(&node{line: line, col: 1}, "brackets are open %d deep; at most %d make sense", max(depth, open), maxDepth)
			return false
		}
	}
	return true
}

func (c *checker) syntax(err error) {
	at, text := &node{line: 1, col: 1}, err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		text = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			at.line, at.col = t.Position.Line, t.Position.Column
		}
	}
	text, _, _ = strings.Cut(text, "\n")
	c.at(at, "%s; the file cannot be read as YAML from here", text)
}

func place(t *token.Token) (line, col int) {
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return t.Position.Line, t.Position.Column
}

// convert turns the parser's node into ours.
func (c *checker) convert(from ast.Node, depth int) *node {
	n := &node{}
	n.line, n.col = place(from.GetToken())
	if depth > maxDepth {
		c.at(n, "nested more than %d deep", maxDepth)
		return n
	}
	switch f := from.(type) {
	case *ast.NullNode:
		if t := f.GetToken(); t != nil && t.Value != "" && t.Type != token.ImplicitNullType {
			n.shape, n.text = scalar, t.Value
		}
	case *ast.StringNode:
		n.shape, n.text = scalar, f.Value
		n.quoted = f.Token.Type == token.SingleQuoteType || f.Token.Type == token.DoubleQuoteType
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		n.shape, n.text = scalar, strings.TrimSpace(from.GetToken().Value)
	case *ast.SequenceNode:
		n.shape = sequence
		for _, v := range f.Values {
			n.items = append(n.items, c.convert(v, depth+1))
		}
	case *ast.MappingNode:
		n.shape = mapping
		for _, v := range f.Values {
			n.add(c, v, depth)
		}
		n.begin()
	case *ast.MappingValueNode:
		n.shape = mapping
		n.add(c, f, depth)
		n.begin()
	default:
		c.at(n, "a profile has no YAML of the kind %q; write plain values", strings.ToLower(from.Type().YAMLName()))
	}
	return n
}

func (n *node) add(c *checker, v *ast.MappingValueNode, depth int) {
	if v == nil || v.Key == nil || v.Value == nil {
		return
	}
	key := c.convert(v.Key, depth+1)
	if key.shape != scalar {
		c.at(key, "a key must be a plain word or number")
		return
	}
	n.keys = append(n.keys, entry{key, c.convert(v.Value, depth+1)})
}

// begin moves the place of a block mapping, where the parser gives its first
// colon, to its first key.
func (n *node) begin() {
	if len(n.keys) == 0 {
		return
	}
	if k := n.keys[0].key; k.line < n.line || k.line == n.line && k.col < n.col {
		n.line, n.col = k.line, k.col
	}
}
