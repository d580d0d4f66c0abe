// Command minio-user makes a user on a running MinIO server, or updates one: its
// secret key becomes the given one, its policy the given file. Tests use it.
// For 30 seconds it waits for a server that is not reachable, or not ready, yet.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/madmin-go/v3"
)

const (
	usage = "usage: minio-user ENDPOINT ROOT_USER ROOT_PASSWORD NEW_ACCESS_KEY NEW_SECRET_KEY POLICY_FILE"
	// No attempt starts later than `patience` after the first.
	patience       = 30 * time.Second
	pause          = 500 * time.Millisecond
	attemptTimeout = 5 * time.Second
)

func main() {
	if len(os.Args) != 7 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "minio-user:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	endpoint, accessKey, secretKey := args[0], args[3], args[4]
	policy, err := os.ReadFile(args[5])
	if err != nil {
		return err
	}
	client, err := connect(endpoint, args[1], args[2])
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", endpoint, err)
	}
	// The library's own retries, ten with growing pauses, would outlast ours.
	madmin.MaxRetry = 1
	policyName := "user-" + accessKey
	deadline := time.Now().Add(patience)
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"policy " + policyName, func(ctx context.Context) error {
			return client.AddCannedPolicy(ctx, policyName, policy)
		}},
		{"user " + accessKey, func(ctx context.Context) error {
			return client.AddUser(ctx, accessKey, secretKey)
		}},
		{"policies of user " + accessKey, func(ctx context.Context) error {
			return setPolicy(ctx, client, accessKey, policyName)
		}},
	} {
		if err := retry(deadline, step.do); err != nil {
			return fmt.Errorf("%s: %s: %w", endpoint, step.title, err)
		}
	}
	return nil
}

// connect takes a URL, or HOST:PORT for plain HTTP. Nothing is sent yet.
func connect(endpoint, user, password string) (*madmin.AdminClient, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	parsed, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, errors.New("the scheme must be http or https")
	}
	return madmin.New(parsed.Host, user, password, parsed.Scheme == "https")
}

// setPolicy makes the named policy the only one of the user.
func setPolicy(ctx context.Context, client *madmin.AdminClient, user, policy string) error {
	info, err := client.GetUserInfo(ctx, user)
	if err != nil {
		return err
	}
	attached := false
	var others []string
	for _, name := range strings.FieldsFunc(info.PolicyName, func(r rune) bool { return r == ',' }) {
		if name == policy {
			attached = true
		} else {
			others = append(others, name)
		}
	}
	if !attached {
		request := madmin.PolicyAssociationReq{Policies: []string{policy}, User: user}
		if _, err := client.AttachPolicy(ctx, request); err != nil {
			return err
		}
	}
	if len(others) > 0 {
		_, err = client.DetachPolicy(ctx, madmin.PolicyAssociationReq{Policies: others, User: user})
	}
	return err
}

func retry(deadline time.Time, attempt func(context.Context) error) error {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), attemptTimeout)
		err := attempt(ctx)
		cancel()
		if err == nil || !temporary(err) || time.Now().Add(pause).After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// temporary: the server did not answer, or said that it is still starting.
func temporary(err error) bool {
	var answer madmin.ErrorResponse
	if !errors.As(err, &answer) {
		return true
	}
	switch answer.Code {
	case "XMinioServerNotInitialized", "XMinioIAMNotInitialized", "SlowDown", "RequestTimeout":
		return true
	}
	// An answer that is not MinIO's carries the status line as its code.
	return strings.HasPrefix(answer.Code, "502 ") || strings.HasPrefix(answer.Code, "503 ")
}
