package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leat-dev/leat/configs"
)

// configFlags are the flags of commands that take a configuration.
type configFlags struct {
	file string
	set  []string
}

func (f *configFlags) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.file, "config", "", "read the configuration from this YAML `file`")
	flags.StringArrayVar(&f.set, "set", nil, "set one `key=value` of the configuration, such as http.listen=127.0.0.1:9000; may be given several times")
}

func (f *configFlags) load(a App) (*configs.Config, error) {
	set := map[string]string{}
	for _, pair := range f.set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usage("--set %s: want key=value", pair)
		}
		set[key] = value
	}
	cfg, err := configs.Load(configs.Options{File: f.file, Env: a.Environ, Flags: set})
	if err == nil && a.Sets != nil {
		err = cfg.ValidateRoles(a.Sets)
	}
	if err == nil {
		return cfg, nil
	}
	if n := strings.Count(err.Error(), "\n") + 1; n > 1 {
		return nil, usage("the configuration has %d faults:\n%w", n, err)
	}
	return nil, usage("configuration: %w", err)
}

func (a App) serve() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service, in the roles that the configuration gives it",
		Long: `Run the service, in the roles that the configuration gives it.

The first SIGTERM or SIGINT finishes what is in hand and stops; the second stops at once.
Nothing that was accepted is lost either way.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.load(a)
			if err != nil {
				return err
			}
			if err := a.run(cmd.Context(), a.Serve, cfg); err != nil && !stopped(cmd.Context(), err) {
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}

func (a App) migrate() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's tables up to date, and end",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := flags.load(a)
			if err != nil {
				return err
			}
			if err := a.run(cmd.Context(), a.Migrate, cfg); err != nil {
				return fmt.Errorf("migrate: %w", err)
			}
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}

func (a App) run(ctx context.Context, service Service, cfg *configs.Config) error {
	if service == nil {
		return errors.New("this program was built without it")
	}
	return service(ctx, cfg, a.logger(cfg.Log))
}

// stopped tells whether a service ended because it was asked to.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, context.Canceled)
}

func (a App) config() *cobra.Command {
	var flags configFlags
	show := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration that serve would run with, as YAML; secrets show as ***",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := flags.load(a)
			if err != nil {
				return err
			}
			return configs.Print(a.Stdout, cfg)
		},
	}
	validate := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and list everything that is wrong with it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := flags.load(a); err != nil {
				return err
			}
			fmt.Fprintln(a.Stderr, "the configuration is valid")
			return nil
		},
	}
	cmd := family("config", "Look at the configuration", show, validate)
	flags.register(cmd)
	return cmd
}
