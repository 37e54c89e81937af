package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics are those of a process at one moment, by name.
type metrics map[string]*dto.MetricFamily

func (p *process) scrape(ctx context.Context) (metrics, error) {
	body, err := fetch(ctx, p.ops+"/metrics", "")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	m, err := parser.TextToMetricFamilies(body)
	return m, err
}

// fetchPatience is how long an answer may take, the longest profile included.
const fetchPatience = 2 * time.Minute

// fetch returns the body of an answer of 200, the caller's to close.
func fetch(ctx context.Context, url, bearer string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := (&http.Client{Timeout: fetchPatience}).Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return resp.Body, nil
}

// value is the sum of a counter or gauge over the label values, or over those series
// that have a label of this name and value.
func (m metrics) value(name string, label ...string) (sum float64) {
	for _, one := range m[name].GetMetric() {
		if has(one, label) {
			sum += one.GetCounter().GetValue() + one.GetGauge().GetValue() + one.GetUntyped().GetValue()
		}
	}
	return sum
}

// count is how much a histogram has counted, of those series.
func (m metrics) count(name string, label ...string) (sum float64) {
	for _, one := range m[name].GetMetric() {
		if has(one, label) {
			sum += float64(one.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func has(m *dto.Metric, label []string) bool {
	return len(label) == 0 || slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
		return l.GetName() == label[0] && l.GetValue() == label[1]
	})
}

// histogram is what a histogram has counted between two moments.
type histogram struct {
	bounds []float64 // seconds
	counts []float64 // up to each bound
}

// since returns what was counted after the earlier moment.
func (m metrics) since(earlier metrics, name string, label ...string) histogram {
	h := m.histogram(name, label)
	for i, n := range earlier.histogram(name, label).counts {
		h.counts[i] -= n
	}
	return h
}

func (m metrics) histogram(name string, label []string) (h histogram) {
	for _, one := range m[name].GetMetric() {
		if !has(one, label) {
			continue
		}
		for i, b := range one.GetHistogram().GetBucket() {
			if i == len(h.bounds) {
				h.bounds, h.counts = append(h.bounds, b.GetUpperBound()), append(h.counts, 0)
			}
			h.counts[i] += float64(b.GetCumulativeCount())
		}
	}
	return h
}

// quantile estimates a quantile as Prometheus does: evenly spread within a bucket.
func (h histogram) quantile(q float64) time.Duration {
	if len(h.counts) == 0 || h.counts[len(h.counts)-1] == 0 {
		return 0
	}
	rank := q * h.counts[len(h.counts)-1]
	i, _ := slices.BinarySearch(h.counts, rank)
	if i >= len(h.bounds) || math.IsInf(h.bounds[i], 1) {
		return time.Duration(math.MaxInt64)
	}
	var from, below float64
	if i > 0 {
		from, below = h.bounds[i-1], h.counts[i-1]
	}
	part := (rank - below) / (h.counts[i] - below)
	return time.Duration((from + (h.bounds[i]-from)*part) * float64(time.Second))
}

// quantile of values in any order, which it sorts.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}
