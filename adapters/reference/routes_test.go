package reference_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leat-dev/leat/adapters/httpapi"
	"github.com/leat-dev/leat/app/deadletter"
)

// The rest of the API is not called here. A struct cannot embed an interface and have its method
// of the same name, hence the names.
type (
	publisherPort   = httpapi.Publisher
	deliveriesPort  = httpapi.Deliveries
	auditPort       = httpapi.Audit
	emailsPort      = httpapi.Emails
	deadLettersPort = deadletter.Store
	handlersPort    = httpapi.Handlers
)

// api is the service behind the real entrance, over HTTP.
type api struct {
	*bundle
	url string
}

func serve(t *testing.T) *api {
	t.Helper()
	b := setup(t)
	deps := httpapi.Deps{
		Publisher: struct{ publisherPort }{}, Events: b.db, Deliveries: struct{ deliveriesPort }{},
		Audit: struct{ auditPort }{}, Emails: struct{ emailsPort }{}, DeadLetters: struct{ deadLettersPort }{},
		Handlers: struct{ handlersPort }{}, Routes: []func(huma.API){b.service.Routes},
	}
	s, err := httpapi.New(httpapi.Config{}, httpapi.AuthConfig{}, deps, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return &api{bundle: b, url: server.URL}
}

type object = map[string]any

// call sends a request as a tenant; an empty body sends none.
func (a *api) call(t *testing.T, tenant, method, path, body string) (int, object) {
	t.Helper()
	status, got, err := a.try(t, tenant, method, path, body)
	require.NoError(t, err)
	return status, got
}

func (a *api) try(t *testing.T, tenant, method, path, body string) (int, object, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, a.url+path, reader)
	if err != nil {
		return 0, nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Leat-Tenant", tenant)
	req.Header.Set("Leat-Actor", "ada")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var got object
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		return 0, nil, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return res.StatusCode, got, nil
}

// ok is call that expects a status and returns the answer.
func (a *api) ok(t *testing.T, status int, tenant, method, path, body string) object {
	t.Helper()
	got, answer := a.call(t, tenant, method, path, body)
	require.Equal(t, status, got, "%s %s: %v", method, path, answer)
	return answer
}

// refused is call that expects an error body.
func (a *api) refused(t *testing.T, status int, code, field, tenant, method, path, body string) {
	t.Helper()
	answer := a.ok(t, status, tenant, method, path, body)
	require.Equal(t, "error", answer["status"])
	require.Equal(t, code, answer["errorCode"], "%v", answer)
	details, _ := answer["details"].(object)
	if field == "" {
		require.Nil(t, details["field"])
		return
	}
	require.Equal(t, field, details["field"], "%v", answer)
}

func TestTenantRoutes(t *testing.T) {
	t.Parallel()
	a := serve(t)
	created := a.ok(t, 201, "dev", "POST", "/v1/tenants", `{"id":"acme","name":"Acme","email":"ada@acme.example"}`)
	require.Equal(t, "acme", created["id"])
	require.Equal(t, "2025-03-14T15:09:26.535897Z", created["createdAt"])

	log := a.log(t)
	require.Len(t, log, 1)
	require.Equal(t, "acme", log[0].Tenant, "the event belongs to the new tenant")
	require.Equal(t, "ada", log[0].Actor)

	require.Equal(t, created, a.ok(t, 200, "acme", "GET", "/v1/tenants/acme", ""))
	require.Equal(t, created, a.ok(t, 200, "dev", "GET", "/v1/tenants/acme", ""))
	a.refused(t, 404, "TENANT_NOT_FOUND", "", "other", "GET", "/v1/tenants/acme", "")
	a.refused(t, 404, "TENANT_NOT_FOUND", "", "dev", "GET", "/v1/tenants/dev", "")
	a.refused(t, 409, "TENANT_EXISTS", "id", "dev", "POST", "/v1/tenants", `{"id":"acme","name":"Acme","email":"ada@acme.example"}`)

	generated := a.ok(t, 201, "dev", "POST", "/v1/tenants", `{"name":"Other","email":"ada@other.example"}`)
	require.NotEmpty(t, generated["id"])
	first := a.ok(t, 200, "dev", "GET", "/v1/tenants?limit=1", "")
	require.Len(t, first["tenants"], 1)
	second := a.ok(t, 200, "dev", "GET", "/v1/tenants?limit=1&cursor="+first["next"].(string), "")
	require.Len(t, second["tenants"], 1)
	require.Empty(t, second["next"])
	require.NotEqual(t, first["tenants"], second["tenants"])
	require.Equal(t, object{"tenants": []any{}, "next": ""}, a.ok(t, 200, "nobody", "GET", "/v1/tenants", ""))

	a.refused(t, 422, "INVALID_INPUT", "email", "dev", "POST", "/v1/tenants", `{"name":"Acme","email":"nobody"}`)
	a.refused(t, 422, "INVALID_INPUT", "name", "dev", "POST", "/v1/tenants", `{"name":"","email":"ada@acme.example"}`)
	a.refused(t, 422, "INVALID_INPUT", "id", "dev", "POST", "/v1/tenants", `{"id":"_system","name":"x","email":"ada@acme.example"}`)
	several := a.ok(t, 422, "dev", "POST", "/v1/tenants", `{"name":"","email":""}`)
	require.Len(t, several["details"].(object)["errors"], 2)
}

func TestProjectRoutes(t *testing.T) {
	t.Parallel()
	a := serve(t)
	created := a.ok(t, 201, "dev", "POST", "/v1/projects",
		`{"name":"Shop","assignee":"bo@acme.example","watchers":["cy@acme.example"]}`)
	path := "/v1/projects/" + created["id"].(string)
	require.Equal(t, created, a.ok(t, 200, "dev", "GET", path, ""))
	a.refused(t, 404, "PROJECT_NOT_FOUND", "", "other", "GET", path, "")
	a.refused(t, 404, "PROJECT_NOT_FOUND", "", "other", "PATCH", path, `{"name":"Mine"}`)
	a.refused(t, 404, "PROJECT_NOT_FOUND", "", "other", "DELETE", path, "")

	changed := a.ok(t, 200, "dev", "PATCH", path, `{"name":"Store","watchers":[]}`)
	require.Equal(t, "Store", changed["name"])
	require.Equal(t, "bo@acme.example", changed["assignee"], "what is not given stays")
	require.Equal(t, []any{}, changed["watchers"])
	require.EqualValues(t, 2, changed["version"])
	unchanged := a.ok(t, 200, "dev", "PATCH", path, `{"name":"Store"}`)
	require.EqualValues(t, 2, unchanged["version"])
	a.refused(t, 422, "INVALID_INPUT", "assignee", "dev", "PATCH", path, `{"assignee":"nobody"}`)

	log := a.log(t)
	require.Equal(t, object{
		"name":     object{"from": "Shop", "to": "Store"},
		"watchers": object{"from": []any{"cy@acme.example"}, "to": []any{}},
	}, dataOf(t, log[1])["changes"])

	require.Equal(t, true, a.ok(t, 200, "dev", "DELETE", path, "")["archived"])
	require.Equal(t, true, a.ok(t, 200, "dev", "DELETE", path, "")["archived"], "archiving again changes nothing")
	a.refused(t, 409, "PROJECT_ARCHIVED", "", "dev", "PATCH", path, `{"name":"Shop"}`)
	a.refused(t, 409, "PROJECT_ARCHIVED", "", "dev", "POST", path+"/builds", `{}`)
	require.Empty(t, a.ok(t, 200, "dev", "GET", "/v1/projects", "")["projects"])
	require.Len(t, a.ok(t, 200, "dev", "GET", "/v1/projects?archived=true", "")["projects"], 1)
	require.Empty(t, a.ok(t, 200, "other", "GET", "/v1/projects?archived=true", "")["projects"])
	require.Equal(t, []string{"project.created", "project.updated", "project.archived"}, a.logged(t))
}

func TestBuildRoutes(t *testing.T) {
	t.Parallel()
	a := serve(t)
	project := a.ok(t, 201, "dev", "POST", "/v1/projects", `{"name":"Shop"}`)["id"].(string)
	queue := func(body string) object {
		return a.ok(t, 201, "dev", "POST", "/v1/projects/"+project+"/builds", body)
	}
	build := queue(`{"image":"shop/api:1.4"}`)
	require.Equal(t, "queued", build["state"])
	require.Equal(t, project, build["projectId"])
	require.NotContains(t, build, "startedAt")
	path := "/v1/builds/" + build["id"].(string)

	a.refused(t, 409, "BUILD_WRONG_STATE", "", "dev", "POST", path+"/complete", "")
	for _, step := range []string{"start", "complete", "cancel"} {
		a.refused(t, 404, "BUILD_NOT_FOUND", "", "other", "POST", path+"/"+step, "")
	}
	require.Equal(t, "started", a.ok(t, 200, "dev", "POST", path+"/start", "")["state"])
	require.EqualValues(t, 40, a.ok(t, 200, "dev", "POST", path+"/progress", `{"percent":40,"stage":"compile"}`)["percent"])
	a.refused(t, 409, "BUILD_PROGRESS_BACKWARDS", "percent", "dev", "POST", path+"/progress", `{"percent":39}`)
	a.refused(t, 422, "INVALID_INPUT", "percent", "dev", "POST", path+"/progress", `{"percent":101}`)
	a.refused(t, 422, "INVALID_INPUT", "reason", "dev", "POST", path+"/fail", `{"reason":""}`)
	failed := a.ok(t, 200, "dev", "POST", path+"/fail", `{"reason":"exit status 2"}`)
	require.Equal(t, "failed", failed["state"])
	require.Equal(t, "exit status 2", failed["reason"])
	require.Equal(t, failed, a.ok(t, 200, "dev", "GET", path, ""))
	a.refused(t, 404, "BUILD_NOT_FOUND", "", "other", "GET", path, "")

	unnamed := queue("")
	require.Equal(t, "Shop", unnamed["image"])
	require.Equal(t, "cancelled", a.ok(t, 200, "dev", "POST", "/v1/builds/"+unnamed["id"].(string)+"/cancel", "")["state"])
	third := queue(`{}`)
	thirdPath := "/v1/builds/" + third["id"].(string)
	a.ok(t, 200, "dev", "POST", thirdPath+"/start", `{}`)
	require.EqualValues(t, 100, a.ok(t, 200, "dev", "POST", thirdPath+"/complete", `{}`)["percent"])
	a.refused(t, 404, "PROJECT_NOT_FOUND", "", "other", "POST", "/v1/projects/"+project+"/builds", `{}`)

	require.Equal(t, []string{
		"project.created", "build.queued", "build.started", "build.progressed", "build.failed", "build.failing",
		"build.queued", "build.cancelled", "build.queued", "build.started", "build.completed",
	}, a.logged(t))

	list := a.ok(t, 200, "dev", "GET", "/v1/builds?limit=2", "")
	require.Len(t, list["builds"], 2)
	require.Equal(t, third["id"], list["builds"].([]any)[0].(object)["id"], "newest first")
	rest := a.ok(t, 200, "dev", "GET", "/v1/builds?limit=2&cursor="+list["next"].(string), "")
	require.Len(t, rest["builds"], 1)
	require.Empty(t, rest["next"])
	require.Len(t, a.ok(t, 200, "dev", "GET", "/v1/builds?state=failed&project="+project, "")["builds"], 1)
	require.Empty(t, a.ok(t, 200, "other", "GET", "/v1/builds", "")["builds"])
	a.refused(t, 422, "INVALID_REQUEST", "state", "dev", "GET", "/v1/builds?state=lost", "")
}

func TestInvitationRoutes(t *testing.T) {
	t.Parallel()
	a := serve(t)
	const path = "/v1/tenants/acme/invitations"
	invited := a.ok(t, 201, "acme", "POST", path, `{"email":"di@acme.example","name":"Di","role":"developer"}`)
	require.Equal(t, "developer", invited["role"])
	a.refused(t, 404, "TENANT_NOT_FOUND", "", "other", "POST", path, `{"email":"di@acme.example","name":"Di"}`)
	a.refused(t, 404, "TENANT_NOT_FOUND", "", "other", "GET", path, "")
	a.refused(t, 409, "MEMBER_EXISTS", "email", "acme", "POST", path, `{"email":"DI@acme.example","name":"Di"}`)
	a.refused(t, 422, "INVALID_INPUT", "email", "acme", "POST", path, `{"email":"nobody","name":"Di"}`)
	a.refused(t, 404, "PROJECT_NOT_FOUND", "", "acme", "POST", path, `{"email":"ed@acme.example","name":"Ed","projectId":"none"}`)

	list := a.ok(t, 200, "acme", "GET", path, "")
	require.Equal(t, []any{invited}, list["invitations"])
	require.Equal(t, []string{"member.invited"}, a.logged(t))
	require.Equal(t, "acme", a.log(t)[0].Tenant)
}

func TestBodiesNameNoTenant(t *testing.T) {
	t.Parallel()
	a := serve(t)
	status, _ := a.call(t, "dev", "POST", "/v1/projects", `{"name":"Shop","tenant":"acme"}`)
	require.Equal(t, 422, status)
	require.Empty(t, a.logged(t))
}

// Without an entrance that says who calls, nothing is done.
func TestNoTenantIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mux := http.NewServeMux()
	b.service.Routes(humago.New(mux, huma.DefaultConfig("reference", "test")))
	for _, request := range [][3]string{
		{"GET", "/v1/projects", ""},
		{"POST", "/v1/projects", `{"name":"Shop"}`},
		{"POST", "/v1/tenants", `{"name":"Acme","email":"ada@acme.example"}`},
		{"GET", "/v1/builds/b1", ""},
		{"GET", "/v1/tenants/acme/invitations", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), request[0], request[1], strings.NewReader(request[2]))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, http.StatusForbidden, w.Code, "%v: %s", request, w.Body)
	}
	require.Empty(t, b.logged(t))
}

// Commands on one build at the same time do not refuse one another for being at the same time.
func TestConcurrentCommands(t *testing.T) {
	t.Parallel()
	a := serve(t)
	project := a.ok(t, 201, "dev", "POST", "/v1/projects", `{"name":"Shop"}`)["id"].(string)
	build := a.ok(t, 201, "dev", "POST", "/v1/projects/"+project+"/builds", "")["id"].(string)
	a.ok(t, 200, "dev", "POST", "/v1/builds/"+build+"/start", "")
	var group errgroup.Group
	for i := range 16 {
		group.Go(func() error {
			body := fmt.Sprintf(`{"percent":0,"stage":"stage %d"}`, i)
			status, answer, err := a.try(t, "dev", "POST", "/v1/builds/"+build+"/progress", body)
			if err == nil && status != 200 {
				err = fmt.Errorf("progress %d: %d %v", i, status, answer)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, 18, a.ok(t, 200, "dev", "GET", "/v1/builds/"+build, "")["version"])
	require.Len(t, a.logged(t), 3+16)
}
