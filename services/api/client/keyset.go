package client

import (
	"context"
	"io"
	"net/http"
)

// maxKeyset bounds the public keyset of a fleet, in bytes.
const maxKeyset = 128 << 10

// Keyset returns the public keyset of the fleet as JSON, as it is. It takes no bearer
// token and shows none.
func (c *Client) Keyset(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/keyset", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxKeyset+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.problem(resp, answer)
	}
	return answer, nil
}
