package observe

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/forecast"
)

// ArrivalRateMetric is what the optimizer shows of every server's offered load, in requests per second, and what histories are read back from.
const ArrivalRateMetric = "inferno_server_arrival_rate_requests_per_second"

// ReadHistory asks Prometheus for the offered load of a server as the optimizer showed it: means over windows of so many seconds, as far back as
// span, oldest first. Prometheus may have renamed the label that a scrape brings along beside one of the target's own: then the series must be of the
// optimizer's own namespace, where that is given, for any pod may show such series of any server. Gaps stay gaps.
func ReadHistory(ctx context.Context, s *Source, server types.NamespacedName, own string, now time.Time, span, window float64) ([]forecast.Sample, error) {
	duration := func(seconds float64) model.Duration { return model.Duration(seconds * float64(time.Second)) }
	with := prefixed(",", s.with)
	scraped := with
	if own != "" {
		scraped += "," + matcher("namespace", "=", own)
	}
	series := fmt.Sprintf(`%[1]s{exported_namespace=%[2]q,server=%[3]q%[5]s}[%[4]s]`, ArrivalRateMetric, server.Namespace, server.Name, duration(window), scraped)
	honoured := fmt.Sprintf(`%[1]s{exported_namespace="",namespace=%[2]q,server=%[3]q%[5]s}[%[4]s]`, ArrivalRateMetric, server.Namespace, server.Name, duration(window), with)
	// Of several optimizers, of which one led at a time, the mean of what each showed.
	expression := fmt.Sprintf("avg(avg_over_time(%s) or avg_over_time(%s))[%s:%s]", series, honoured, duration(span), duration(window))
	var history []forecast.Sample
	if err := ask(ctx, s, model.ValMatrix, expression, now, func(series Series) { // one, or none
		for _, v := range series.Values {
			if rate := float64(v.Value); rate >= 0 {
				// A mean is of the window that ends there.
				history = append(history, forecast.Sample{Time: v.Timestamp.Time().Sub(time.Unix(0, 0)).Seconds() - window/2, Rate: rate})
			}
		}
	}); err != nil {
		return nil, err
	}
	return history, nil
}
