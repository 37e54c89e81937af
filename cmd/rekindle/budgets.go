package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

// budgetsSettings are what the file says of how much providers are asked.
type budgetsSettings struct {
	Default budgetSettings `yaml:"default"`
	// Hosts has those that differ, by token host or provider. What one does not
	// say is as in Default.
	Hosts map[string]budgetSettings `yaml:"hosts"`
}

// budgetSettings is a budget; what is nil is not said.
type budgetSettings struct {
	Rate        *float64 `yaml:"rate"`
	Burst       *int     `yaml:"burst"`
	Concurrency *int     `yaml:"concurrency"`
	Shared      *bool    `yaml:"shared"`
}

// Bounds of a budget.
const (
	maxRate        = 100_000
	minRate        = 0.001 // about ninety a day
	maxConcurrency = 100_000
	maxBudgets     = 10_000
)

// checkBudgets makes budgets of what the file says.
func (s *settings) checkBudgets(errs *config.Errors) {
	s.budgets.Default = s.file.Budgets.Default.over(scheduler.Budget{Concurrency: scheduler.DefaultConcurrency})
	checkBudget(errs, "budgets.default", s.budgets.Default)
	errs.Check(len(s.file.Budgets.Hosts) <= maxBudgets, "budgets.hosts", "too many", fmt.Sprintf("use at most %d", maxBudgets))
	s.budgets.Hosts = map[string]scheduler.Budget{}
	for _, host := range slices.Sorted(maps.Keys(s.file.Budgets.Hosts)) {
		field := "budgets.hosts." + host
		errs.Check(isBudgetHost(host), field, "not a token host", "use the host of a token_url in lower case, with its port if it has one, or the name of a provider")
		b := s.file.Budgets.Hosts[host].over(s.budgets.Default)
		checkBudget(errs, field, b)
		s.budgets.Hosts[host] = b
	}
}

// isBudgetHost keeps out what no endpoint can be called (see secret.Endpoint), and
// would never count.
func isBudgetHost(host string) bool {
	return host != "" && host == strings.ToLower(host) && !strings.ContainsAny(host, "/@ ?#")
}

// over is a budget with what the file says of it.
func (s budgetSettings) over(b scheduler.Budget) scheduler.Budget {
	if s.Rate != nil {
		b.Rate, b.Burst = *s.Rate, 0 // a burst belongs to its rate
	}
	if s.Burst != nil {
		b.Burst = *s.Burst
	}
	if s.Concurrency != nil {
		b.Concurrency = *s.Concurrency
	}
	if s.Shared != nil {
		b.Shared = *s.Shared
	}
	return b
}

func checkBudget(errs *config.Errors, field string, b scheduler.Budget) {
	errs.Check(b.Rate == 0 || b.Rate >= minRate && b.Rate <= maxRate, field+".rate", "out of bounds",
		fmt.Sprintf("use %g to %d requests a second, or 0 for no limit", minRate, maxRate))
	errs.Check(b.Burst >= 0 && b.Burst <= maxRate, field+".burst", "out of bounds", fmt.Sprintf("use 1 to %d, or leave it out", maxRate))
	errs.Check(b.Concurrency >= 1 && b.Concurrency <= maxConcurrency, field+".concurrency", "out of bounds",
		fmt.Sprintf("use 1 to %d, or leave it out for %d", maxConcurrency, scheduler.DefaultConcurrency))
}
