// Package inferno is the scheduler plugin that realises a plan: it puts the pods of a Server on the accelerators, in the numbers, that the
// Server's status says, and leaves every other pod alone.
//
// A pod belongs to a Server when it carries the label inferno.platform.ai/server. The rules for such a pod, in this order:
//
//  1. The plan names accelerators with replicas. Each is a quota; a quota counts the pods of the Server on that accelerator that are
//     bound, assumed or reserved, and not on their way out. During a rollout, pods of another revision of the same workload do not count:
//     the new revision gets the plan's quotas of its own, else a surge could never start.
//  2. The pod may go to nodes of accelerators with quota left: first where the plan is least fulfilled, then where it destroys the fewest
//     slots for larger replicas, then by name.
//  3. With no quota left it is held before the scheduler's queue, and told why; with no room on the accelerators that have some it waits. With the
//     fallback AnyFeasible it may, once it has waited for fallbackAfter, go to any accelerator its model has performance data for.
//  4. Where the Server was never planned and the plans of others may be followed, the pod waits for its plan, for fallbackAfter at most.
//     Without a plan (that wait is over, nobody is planned, or the Server is missing) it may go to any accelerator its model has performance
//     data for, else to any that an Accelerator resource describes, else anywhere: it is never stuck for want of a plan.
//  5. A stale plan is still the plan: it is the last thing anybody decided.
//
// What was chosen stands in the pod's annotations before it is bound, with the batch size and the token budget of the plan for that
// accelerator.
//
// The decisions are pure functions (package seats, packing.go). What the plugin knows of the cluster is in the ledger of package seats (pods),
// fleet.go (nodes) and plans.go (Servers, Accelerators, Models); the files named after extension points are thin.
package inferno
