package pipe

import (
	"bytes"
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// The modes of the codec. Their options are constants, so they cannot fail.
var (
	encoder = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
		NilContainers: cbor.NilContainerAsEmpty, // an empty payload has one form
	}.EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		UTF8:             cbor.UTF8RejectInvalid,
		MaxNestedLevels:  4,
		MaxArrayElements: 16,
		MaxMapPairs:      16,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// EncodeDown writes a frame to uplinkd. It fails with [ErrFrame] if a field is
// outside its limits.
func EncodeDown(f Down) ([]byte, error) {
	if f == nil {
		return nil, refuse("no frame")
	}
	return encode(f.number(), f.down(), f.check())
}

// EncodeUp writes a frame from uplinkd, like [EncodeDown].
func EncodeUp(f Up) ([]byte, error) {
	if f == nil {
		return nil, refuse("no frame")
	}
	return encode(f.number(), f.up(), f.check())
}

func encode(number uint64, fields []any, checked error) ([]byte, error) {
	if checked != nil {
		return nil, checked
	}
	b, err := encoder.Marshal(append([]any{number}, fields...))
	if err != nil {
		return nil, errors.Join(ErrFrame, err)
	}
	if len(b) > MaxFrame {
		return nil, refuse("%d octets", len(b))
	}
	return b, nil
}

// DecodeDown reads what [EncodeDown] writes, and nothing else. The fields do
// not share memory with b.
func DecodeDown(b []byte) (Down, error) {
	r, number, err := open(b)
	if err != nil {
		return nil, err
	}
	var f Down
	switch number {
	case 1:
		v := Open{Broker: text(r), Cell: text(r)}
		v.Name = name(r)
		v.Will, v.Floor = field[[]byte](r), field[int64](r)
		f = v
	case 2:
		f = Publish{N: field[uint64](r), Topic: text(r), QoS: field[uint8](r), Payload: field[[]byte](r)}
	case 3:
		f = Close{Last: field[[]byte](r)}
	case 4:
		f = NewKey{}
	case 5:
		f = Install{Chain: field[[][]byte](r)}
	case 6:
		f = Wipe{}
	default:
		return nil, refuse("number %d", number)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return same(f, b, EncodeDown)
}

// DecodeUp reads what [EncodeUp] writes, and nothing else.
func DecodeUp(b []byte) (Up, error) {
	r, number, err := open(b)
	if err != nil {
		return nil, err
	}
	var f Up
	switch number {
	case 1:
		f = State{Up: field[bool](r), Reason: text(r), Radio: text(r)}
	case 2:
		f = Message{Topic: text(r), QoS: field[uint8](r), Retained: field[bool](r), Payload: field[[]byte](r)}
	case 3:
		f = Published{N: field[uint64](r)}
	case 4:
		f = Request{CSR: field[[]byte](r)}
	default:
		return nil, refuse("number %d", number)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return same(f, b, EncodeUp)
}

// same catches what the decoder lets pass: integers not in their shortest
// form, null for an empty string, an array of numbers for octets.
func same[F any](f F, b []byte, encode func(F) ([]byte, error)) (F, error) {
	again, err := encode(f)
	if err == nil && !bytes.Equal(again, b) {
		err = refuse("not the one form of this frame")
	}
	if err != nil {
		var none F
		return none, err
	}
	return f, nil
}

// A row is the fields of a frame that are still to be read, and the first
// failure.
type row struct {
	fields []cbor.RawMessage
	err    error
}

func open(b []byte) (*row, uint64, error) {
	if len(b) > MaxFrame {
		return nil, 0, refuse("%d octets", len(b))
	}
	r := &row{}
	if err := decoder.Unmarshal(b, &r.fields); err != nil {
		return nil, 0, errors.Join(ErrFrame, err)
	}
	n := field[uint64](r)
	return r, n, r.err
}

func (r *row) end() error {
	if r.err == nil && len(r.fields) != 0 {
		r.err = refuse("%d fields too many", len(r.fields))
	}
	return r.err
}

func field[T any](r *row) (v T) {
	if r.err == nil && len(r.fields) == 0 {
		r.err = refuse("too few fields")
	}
	if r.err != nil {
		return v
	}
	if err := decoder.Unmarshal(r.fields[0], &v); err != nil {
		r.err = errors.Join(ErrFrame, err)
	}
	r.fields = r.fields[1:]
	return v
}

func text(r *row) string { return field[string](r) }

func name(r *row) (n [16]byte) {
	b := field[[]byte](r)
	if r.err == nil && len(b) != len(n) {
		r.err = refuse("name of %d octets", len(b))
	}
	copy(n[:], b)
	return n
}
