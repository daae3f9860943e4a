module github.com/llm-inferno/inferno/optimizer/localcluster/controlplane/binaries/pause

go 1.26.0
