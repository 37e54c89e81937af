package courier

// Lines is how many callbacks this process sends to.
func (c *Courier) Lines() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lines)
}
