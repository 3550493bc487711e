// Package sysctl knows which kernel settings a configuration needs, why, and what breaks where they fall short.
//
//	*config.Config ──► Needs ──► Tree.Check ──► []Setting ──► Tree.Apply (only when asked)
//	                               reads /proc/sys               writes /proc/sys
//
// The settings are rules over numbers of the configuration, not a list of advice: a proxy for a hundred clients needs
// nothing changed on most machines. Nothing is written but by Apply and RaiseNoFile; applying twice changes nothing the
// second time. It does not make settings survive a reboot: Print's output is a file for /etc/sysctl.d that does.
//
// Any goroutine may call everything here; two Apply calls at once would be two operators at once.
package sysctl
