module github.com/rekindle-dev/rekindle/events

go 1.26
