// Package report turns samples into what people and programs read: the JSON that is the record of a run, the Markdown and
// SVG made from it, the table on the terminal, and the comparison of two records.
//
//	scenario ─► Report ─► report.json ─► Compare(A, B) ─► what changed beyond the noise
//	                └──► report.md, *.svg, terminal table
//
// It measures nothing. Every number it shows is a median of rounds with its spread, and the samples stay in the record.
package report
