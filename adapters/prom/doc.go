// Package prom counts and times what Leat does, for Prometheus. Metrics is told by the parts it
// watches (it fits their Observer interfaces without knowing them) and asks for the rest, the
// lengths of queues, at the moment of a scrape.
//
// Names, help texts and labels are what dashboards and alerts hold on to: testdata/metrics.txt has
// them all. Labels have few values: event types that are defined, handler sets, results. An event's
// id, a user or free text is never a label.
//
// Two figures are recording rules over these metrics and not metrics themselves:
//
//	event_delivery_success_rate = sum(rate(leat_event_deliveries_total{result="handled"}[5m]))
//	                            / sum(rate(leat_event_deliveries_total{result=~"handled|dead"}[5m]))
//	event_processing_time       = histogram_quantile(0.95,
//	                              sum by (le, handler) (rate(messaging_process_duration_seconds_bucket[5m])))
package prom
