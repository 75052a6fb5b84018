package modem

import (
	"slices"
	"strings"
	"testing"
)

func tokens(chunks ...string) (got []string) {
	var s splitter
	for _, c := range chunks {
		s.feed([]byte(c), func(t string) { got = append(got, t) })
	}
	return got
}

// lines are what modems are known to send, and how it is to be cut.
var lines = []struct {
	in   string
	want []string
}{
	{"\r\nOK\r\n", []string{"OK"}},
	{"AT+CSQ\r\r\n+CSQ: 22,0\r\n\r\nOK\r\n", []string{"AT+CSQ", "+CSQ: 22,0", "OK"}},
	{"#ECALLEV:5#ECALLEV:12\r\n", []string{"#ECALLEV:5", "#ECALLEV:12"}},
	{"\r\n#ECALLEV: 2,0#ECALLEV: 12OK\r\n", []string{"#ECALLEV: 2,0", "#ECALLEV: 12", "OK"}},
	{"#ECALLEV: DISCONNECTED\r\n", []string{"#ECALLEV:", "DISCONNECTED"}},
	{"#ECALLEV: 1DISCONNECTED\r\n", []string{"#ECALLEV: 1", "DISCONNECTED"}},
	{"DIALINGRINGINGCONNECTED\r\n", []string{"DIALING", "RINGING", "CONNECTED"}},
	{"RINGING\r\nRING\r\nRING+CLIP: \"1\",129\r\n", []string{"RINGING", "RING", "RING", `+CLIP: "1",129`}},
	{"OK#ECALLEV: 0\r\nOKCONNECTED\r\nOK+CREG: 1\r\n", []string{"OK", "#ECALLEV: 0", "OK", "CONNECTED", "OK", "+CREG: 1"}},
	{"+CSQ: 22,0OK\r\n+CPIN: READYOK\r\n", []string{"+CSQ: 22,0", "OK", "+CPIN: READY", "OK"}},
	{"+CREG:1+CEREG:1\r\n", []string{"+CREG:1", "+CEREG:1"}},
	{"+CEER: Normal call clearingDISCONNECTED\r\n", []string{"+CEER: Normal call clearing", "DISCONNECTED"}},
	{"+CEER: Call released, disconnected by peer\r\n", []string{"+CEER: Call released, disconnected by peer"}},
	{"+CPIN: READY#ECALLEV: 16+CME ERROR: 10\r\n", []string{"+CPIN: READY", "#ECALLEV: 16", "+CME ERROR: 10"}},
	{"\r\n> ", []string{prompt}},
	{"\r\n>\r\n> AT\r\n", []string{prompt, prompt, "AT"}},
	{"connected\r\n#ecallev: 2,1\r\n", []string{"connected", "#ecallev: 2,1"}},
	{"BUSY\r\nNO CARRIER\r\nNO ANSWER\r\n", []string{"BUSY", "NO CARRIER", "NO ANSWER"}},
	{"+COPS: 0,0,\"STRING OPERATOR BUSY\",7\r\n", []string{`+COPS: 0,0,"STRING OPERATOR BUSY",7`}},
	{"O\x00K\xff\r\n\x1b[7m\r\n", []string{"OK", "[7m"}},
	{"\r\n  \t \r\n\r\n", nil},
	{"no end", nil},
	{strings.Repeat("x", maxLine+1) + "OK\r\nOK\r\n", []string{"OK"}},
	{strings.Repeat("x", maxLine) + "\r\n", []string{strings.Repeat("x", maxLine)}},
	{"#ECALLEV: 99,-1\r\n", []string{"#ECALLEV: 99,", "-1"}},
}

func TestSplit(t *testing.T) {
	for _, c := range lines {
		if got := tokens(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%q:\n got %q\nwant %q", c.in, got, c.want)
		}
		if got := tokens(strings.Split(c.in, "")...); !slices.Equal(got, c.want) {
			t.Errorf("%q, octet by octet:\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, c := range lines {
		f.Add([]byte(c.in), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		whole := tokens(string(b))
		n = min(max(n, 0), len(b))
		if parts := tokens(string(b[:n]), string(b[n:])); !slices.Equal(whole, parts) {
			t.Fatalf("cut at %d: %q, whole: %q", n, parts, whole)
		}
		for _, s := range whole {
			if len(s) > maxLine || s == "" || s != strings.TrimSpace(s) || strings.ContainsAny(s, "\r\n\x00") {
				t.Fatalf("token %q", s)
			}
			_ = complete(s)
			u := understand(s)
			if u.ok && (u.Kind == "" || u.Kind == Ready || u.Kind == Lost) {
				t.Fatalf("%q became %v", s, u)
			}
			registration(s)
			signal(s)
			holder(s)
			cause(s)
			calls([]string{s})
		}
	})
}

func TestUnderstand(t *testing.T) {
	for in, want := range map[string]string{
		"DIALING": "dialling", "RINGING": "ringing", "CONNECTED": "answered", "RING": "incoming",
		"DISCONNECTED": "ended unknown", "RELEASED": "ended unknown", "NO CARRIER": "ended unknown",
		"BUSY": "ended busy", "NO ANSWER": "ended no answer", "disconnected": "ended unknown",
		"#ECALLEV: 0": "start", "#ECALLEV:1": "ll-ack", "#ECALLEV: 2,0": "al-ack 0", "#ECALLEV: 2,1": "al-ack 1",
		"#ECALLEV: 2": "al-ack 0", "#ECALLEV: 5": "t5", "#ECALLEV: 6": "t6", "#ECALLEV: 7": "t7",
		"#ECALLEV: 11": "codec 1", "#ECALLEV: 12": "codec 0", "#ECALLEV: 16": "sync", "#ecallev: 16": "sync",
		"+CREG: 1": "net registered", "+CREG: 5,\"00A1\",\"1F\"": "net registered", "+CREG: 0,3": "net limited", "+CREG: 2": "net none",
		"#ECALLEV:": "", "#ECALLEV: 3": "", "#ECALLEV: x": "", "+CREG:": "", "+CREG: 77": "", "OK": "", "CONNECT 9600": "", "": "",
	} {
		s := understand(in)
		got := ""
		if s.ok {
			got = s.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCause(t *testing.T) {
	for in, want := range map[string]Cause{
		"+CEER: Normal call clearing": Normal, "+CEER: Normal, unspecified": Normal, "+CEER: al call cleari": Normal,
		"+CEER: Interworking, unspecified": Dropped, "+CEER: rworking, unspecifi": Dropped, "+CEER: Invalid/incomplete number": Dropped,
		"+CEER: MM no service": Dropped, "+CEER: Implicitly detached": Dropped, "+CEER: Phone is offline": Dropped,
		"+CEER: User busy": Busy, "+CEER: \"CC setup error\", 16, \"Normal\"": Normal, "+CEER: 17": Busy, "+CEER: 38": Dropped,
		"+CEER: ": Unknown, "+CEER": Unknown, "+CEER: whatever": Unknown,
	} {
		if got := cause(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCallList(t *testing.T) {
	for _, c := range []struct {
		want  CallState
		lines []string
	}{
		{NoCall, nil},
		{Active, []string{`+CLCC: 1,0,0,0,0,"1",129`}},
		{Placing, []string{`+CLCC: 1,0,2,0,0`}},
		{Alerting, []string{`+CLCC: 1,0,3,0,0`}},
		{Calling, []string{`+CLCC: 1,1,4,0,0`}},
		{Active, []string{`+CLCC: 1,1,4,0,0`, `+CLCC: 2,0,0,0,0`, `+CLCC: 3,0,1,0,0`}},
		{Held, []string{`+CLCC: 1,0,1,0,0`}},
		{NoCall, []string{`+CLCC: 1,0,0,1,0`, `+CLCC: x`, `+CLCC:`, `+CLCC: 1,2`}},
	} {
		if got := calls(c.lines); got != c.want {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
}
