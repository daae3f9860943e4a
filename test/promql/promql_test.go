package promql

import (
	_ "github.com/llm-inferno/inferno/optimizer/observe"
	_ "github.com/prometheus/prometheus/model/textparse"
	_ "github.com/prometheus/prometheus/promql"
	_ "github.com/prometheus/prometheus/tsdb"
)
