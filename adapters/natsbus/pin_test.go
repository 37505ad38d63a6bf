package natsbus_test

import (
	_ "github.com/cloudevents/sdk-go/v2/binding"
	_ "github.com/nats-io/nats-server/v2/server"
)
