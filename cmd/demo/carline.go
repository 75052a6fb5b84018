package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// carline is the simulated car's control socket: one connection an order.
type carline string

// do gives an order and returns what comes behind ok.
func (c carline) do(ctx context.Context, format string, args ...any) (string, error) {
	order := fmt.Sprintf(format, args...)
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", string(c))
	if err != nil {
		return "", fmt.Errorf("car: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := fmt.Fprintln(conn, order); err != nil {
		return "", fmt.Errorf("car: %w", err)
	}
	r := bufio.NewReaderSize(conn, 1<<20)
	answer, err := r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("car, after %q: %w", order, err)
	}
	answer = strings.TrimSpace(answer)
	if said, ok := strings.CutPrefix(answer, "ok"); ok {
		return strings.TrimSpace(said), nil
	}
	return "", fmt.Errorf("car, after %q: %w", order, errors.New(answer))
}

// all gives several orders.
func (c carline) all(ctx context.Context, orders ...string) error {
	for _, o := range orders {
		if _, err := c.do(ctx, "%s", o); err != nil {
			return err
		}
	}
	return nil
}

// read gives an order whose answer is JSON.
func (c carline) read(ctx context.Context, v any, order string) error {
	said, err := c.do(ctx, "%s", order)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(said), v)
}

// carState is what the demo reads of the car itself.
type carState struct {
	Ignition string  `json:"ignition"`
	Speed    float64 `json:"speed"`
	Locked   bool    `json:"locked"`
	Aux      string  `json:"aux"`
	Minutes  float64 `json:"aux_minutes"`
	Crash    string  `json:"crash"`
	Alarm    bool    `json:"alarm"`
	Armed    bool    `json:"armed"`
	Volts    float64 `json:"volts"`
	Lat      float64 `json:"lat"`
	Lon      float64 `json:"lon"`
	Fuel     float64 `json:"fuel"`
	Doors    map[string]struct {
		Open   bool `json:"open"`
		Locked bool `json:"locked"`
	} `json:"doors"`
}
