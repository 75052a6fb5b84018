package slcan

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// Prefix begins the name of a device that [ParseOptions] reads.
const Prefix = "slcan:"

// DefaultBaud is the speed of the serial line where nothing else is said.
const DefaultBaud = 115200

// Options say how to open an adapter. [ParseOptions] fills the first part.
type Options struct {
	Path    string // of the device node; "" where the stream needs none
	Bitrate int    // of the bus in bit/s, one of S0 to S9; with BTR, what that makes or 0
	BTR     string // four digits XXYY, BTR0 and BTR1 of an SJA1000 with 16 MHz; "": by Bitrate
	Data    int    // second bit rate of FD in bit/s; 0: classic CAN only
	Listen  bool   // the adapter does not even acknowledge frames
	Stamps  bool   // times from the adapter, at a fifth of the serial line's capacity
	Mute    bool   // an adapter that answers nothing at all is accepted
	Baud    int    // of the serial line in bit/s, 0: [DefaultBaud]; USB devices ignore it

	// Present says whether the device node still exists. It is asked now and
	// then, because some drivers do not tell that a device was unplugged. nil:
	// it does.
	Present func() bool
	Queue   int           // received frames that may wait, 0: [canbus.DefaultQueue]
	Poll    time.Duration // between two questions for the status, 0: 1 s, negative: never
}

// ErrOptions is wrapped by the errors about options that cannot be.
var ErrOptions = errors.New("not an SLCAN device")

// ParseOptions reads the name of a device,
//
//	slcan:/dev/serial/by-id/…?bitrate=500000[&data=2000000][&listen=1]
//
// with, if need be, btr=XXYY instead of a bit rate the table does not hold,
// baud=921600 for a real serial line, stamps=1 for time stamps of the adapter,
// and mute=1 for one that answers nothing.
func ParseOptions(name string) (Options, error) {
	rest, ok := strings.CutPrefix(name, Prefix)
	if !ok {
		return Options{}, fmt.Errorf("%w: %q does not begin with %s", ErrOptions, name, Prefix)
	}
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		return Options{}, fmt.Errorf("%w: %q names no device node, such as /dev/serial/by-id/…", ErrOptions, name)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Options{}, fmt.Errorf("%w: %q: %w", ErrOptions, name, err)
	}
	o := Options{Path: path}
	for _, key := range sorted(values) {
		if len(values[key]) > 1 {
			return Options{}, fmt.Errorf("%w: %q: %s is given twice", ErrOptions, name, key)
		}
		if err := o.set(key, values[key][0]); err != nil {
			return Options{}, fmt.Errorf("%w: %q: %w", ErrOptions, name, err)
		}
	}
	if err := o.Check(); err != nil {
		return Options{}, fmt.Errorf("%q: %w", name, err)
	}
	return o, nil
}

func sorted(values url.Values) []string {
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (o *Options) set(key, value string) error {
	numbers := map[string]*int{"bitrate": &o.Bitrate, "data": &o.Data, "baud": &o.Baud}
	switches := map[string]*bool{"listen": &o.Listen, "stamps": &o.Stamps, "mute": &o.Mute}
	switch n, b := numbers[key], switches[key]; {
	case n != nil:
		v, err := strconv.ParseUint(value, 10, 31)
		if err != nil || v == 0 || strconv.FormatUint(v, 10) != value {
			return fmt.Errorf("%s=%s is no number of bits a second, such as 500000", key, value)
		}
		*n = int(v)
	case b != nil:
		if value != "0" && value != "1" {
			return fmt.Errorf("%s=%s: write %s=1 for yes, or leave it out", key, value, key)
		}
		*b = value == "1"
	case key == "btr":
		o.BTR = strings.ToUpper(value)
		if value == "" {
			return errors.New("btr needs four hexadecimal digits")
		}
	default:
		return fmt.Errorf("%s means nothing; there are bitrate, btr, data, listen, stamps, mute and baud", key)
	}
	return nil
}

// String is the name that [ParseOptions] reads.
func (o Options) String() string {
	var q []string
	number := func(key string, v int) {
		if v != 0 {
			q = append(q, key+"="+strconv.Itoa(v))
		}
	}
	number("bitrate", o.Bitrate)
	if o.BTR != "" {
		q = append(q, "btr="+o.BTR)
	}
	number("data", o.Data)
	number("baud", o.Baud)
	for _, s := range []struct {
		key string
		on  bool
	}{{"listen", o.Listen}, {"stamps", o.Stamps}, {"mute", o.Mute}} {
		if s.on {
			q = append(q, s.key+"=1")
		}
	}
	return Prefix + o.Path + "?" + strings.Join(q, "&")
}

// Check reports what cannot be in o, with [ErrOptions].
func (o *Options) Check() error {
	var wrong error
	switch made, err := o.btrRate(); {
	case err != nil:
		wrong = err
	case o.BTR != "" && o.Bitrate != 0 && o.Bitrate != made:
		wrong = fmt.Errorf("btr=%s makes %d bit/s, not %d: leave one of them out", o.BTR, made, o.Bitrate)
	case o.BTR == "" && o.Bitrate == 0:
		wrong = errors.New("say the bit rate of the bus, such as bitrate=500000")
	case o.BTR == "" && lawicelRates[o.Bitrate] == 0 && canableRates[o.Bitrate] == 0:
		wrong = fmt.Errorf("bitrate=%d: there are %s; another one is written as btr=XXYY", o.Bitrate, list(lawicelRates, canableRates))
	case o.Data != 0 && dataRates[o.Data] == 0:
		wrong = fmt.Errorf("data=%d: there are %s", o.Data, list(dataRates, nil))
	case o.Data != 0 && o.Data < o.Bitrate:
		wrong = fmt.Errorf("data=%d is slower than bitrate=%d", o.Data, o.Bitrate)
	case o.Baud < 0 || o.Baud != 0 && (o.Baud < 1200 || o.Baud > 12_000_000):
		wrong = fmt.Errorf("baud=%d: a serial line has 1200 to 12000000 bit/s", o.Baud)
	}
	if wrong != nil {
		return fmt.Errorf("%w: %w", ErrOptions, wrong)
	}
	return nil
}

// The digits behind S and Y. Up to S6 and at S8 all adapters agree.
var (
	lawicelRates = map[int]byte{
		10_000: '0', 20_000: '1', 50_000: '2', 100_000: '3', 125_000: '4', 250_000: '5', 500_000: '6', 800_000: '7', 1_000_000: '8',
	}
	canableRates = map[int]byte{
		10_000: '0', 20_000: '1', 50_000: '2', 100_000: '3', 125_000: '4', 250_000: '5', 500_000: '6', 750_000: '7', 1_000_000: '8', 83_300: '9',
	}
	dataRates = map[int]byte{
		500_000: '0', 1_000_000: '1', 2_000_000: '2', 4_000_000: '4', 5_000_000: '5', 8_000_000: '8',
	}
)

func list(a, b map[int]byte) string {
	var rates []int
	for _, m := range []map[int]byte{a, b} {
		for r := range m {
			rates = append(rates, r)
		}
	}
	slices.Sort(rates)
	text := fmt.Sprint(slices.Compact(rates))
	return strings.ReplaceAll(strings.Trim(text, "[]"), " ", ", ")
}

// btrRate is the bit rate that BTR makes (SJA1000 data sheet, bus timing
// registers, 16 MHz crystal); 0 without BTR.
func (o *Options) btrRate() (int, error) {
	if o.BTR == "" {
		return 0, nil
	}
	v, ok := number([]byte(o.BTR))
	if len(o.BTR) != 4 || !ok || o.BTR != strings.ToUpper(o.BTR) {
		return 0, fmt.Errorf("btr=%s: BTR0 and BTR1 are four hexadecimal digits, such as 001C", o.BTR)
	}
	scale, quanta := int(v>>8&63)+1, 3+int(v&15)+int(v>>4&7)
	return 8_000_000 / (scale * quanta), nil
}

// rate is the bit rate of the bus.
func (o *Options) rate() int {
	if o.Bitrate != 0 {
		return o.Bitrate
	}
	r, _ := o.btrRate()
	return r
}

func (o *Options) baud() int {
	if o.Baud != 0 {
		return o.Baud
	}
	return DefaultBaud
}

// usb reports whether the device is USB to the adapter itself, where there is
// no serial line whose speed could be too low: a name that udev makes for a
// serial converter ends with -port0.
func (o *Options) usb() bool {
	name := o.Path[strings.LastIndexByte(o.Path, '/')+1:]
	return strings.HasPrefix(name, "ttyACM") || strings.HasPrefix(name, "usb-") && !strings.Contains(name, "-port")
}

// Octets of a line that carries a standard frame of 8 octets, and of its stamp;
// bits of that frame on the bus without stuffing (can.md 1); bits of an octet on
// a serial line, 8N1.
const (
	lineOctets  = 22
	stampOctets = 4
	frameBits   = 111
	octetBits   = 10
)

// Capacity is how many standard frames of 8 octets a second the serial line can
// carry in one direction.
func (o *Options) Capacity() int {
	octets := lineOctets
	if o.Stamps {
		octets += stampOctets
	}
	return o.baud() / (octetBits * octets)
}

// Warning says what the caller should tell, once, before it opens the device:
// that the serial line cannot carry a bus that is busy for load of the time
// (0 to 1). It is empty if all is well.
func (o *Options) Warning(load float64) string {
	frames := int(float64(o.rate()) * load / frameBits)
	if o.usb() || frames <= o.Capacity() {
		return ""
	}
	more := ""
	if o.Stamps {
		more = ", leave out stamps=1"
	}
	return fmt.Sprintf("a bus of %d bit/s at a load of %.0f %% carries %d frames/s, and a serial line of %d baud only %d: "+
		"frames will be lost without notice; set a higher baud= if the adapter has one%s, or use a USB adapter",
		o.rate(), load*100, frames, o.baud(), o.Capacity(), more)
}

// queue is the number of frames that may wait.
func (o *Options) queue() int {
	if o.Queue > 0 {
		return o.Queue
	}
	return canbus.DefaultQueue
}
