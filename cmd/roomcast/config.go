package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/roomcast/roomcast/internal/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check a configuration, or print the default one",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "default",
		Short: "Print a configuration file of all settings with their defaults",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return config.WriteDefault(cmd.OutOrStdout()) },
	}, &cobra.Command{
		Use:   "check [file]",
		Short: "Say what is wrong or unsafe in a file and in the environment",
		Long: "Check reads the file (default: the one that ROOMCAST_CONFIG names) and the environment as serve\n" +
			"would, and the files that they name. It ends with 2 if serve would not start, else with 0.",
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := os.Getenv(config.EnvName("config"))
			if len(args) > 0 {
				file = args[0]
			}
			c, err := config.Load(config.Source{File: file, Environ: os.Environ()})
			if err == nil {
				_, err = prepare(c, discard)
			}
			if err != nil {
				return usageError{err}
			}
			for _, w := range c.Warnings() {
				fmt.Fprintf(cmd.OutOrStdout(), "warning: %s\n", w)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	})
	return cmd
}
