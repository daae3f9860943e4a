package v1alpha1

// Labels and annotations that inferno reads from and writes to native objects.
const (
	// ServerLabel on a pod names the Server, of the pod's namespace, that the pod is a replica of.
	ServerLabel = Group + "/server"
	// VariantLabel on a pod names the variant of its Server that the pod belongs to, where the Server lists variants.
	VariantLabel = Group + "/variant"
	// AcceleratorAnnotation on a pod names the Accelerator that the scheduler plugin chose for it.
	AcceleratorAnnotation = Group + "/accelerator"
	// MaxNumSeqsAnnotation on a pod holds the max batch size the engine is started with (vLLM: --max-num-seqs).
	MaxNumSeqsAnnotation = Group + "/max-num-seqs"
	// MaxNumBatchedTokensAnnotation on a pod holds the token budget per iteration (vLLM: --max-num-batched-tokens).
	MaxNumBatchedTokensAnnotation = Group + "/max-num-batched-tokens"
	// PlacementGate on a pod keeps it from every scheduler until the plan has a seat for it.
	PlacementGate = Group + "/placement"
	// PlaceByScheduler and PlaceByGates are the ways in which the pods of a Server get their seats: spec.placement.
	PlaceByScheduler = "Scheduler"
	PlaceByGates     = "Gates"
	// PlacementAnnotation on a pod says that its seat came with the lifting of its gate (PlacementGates), and not from the scheduler plugin.
	PlacementAnnotation = Group + "/placement"
	// PlacementGates is the value of PlacementAnnotation.
	PlacementGates = "gates"
	// PlacementRequirementsAnnotation on such a pod is how many requirements the lifting of its gate has put behind its own, in each term of its required
	// node affinity: what others like it ask of nodes is without them.
	PlacementRequirementsAnnotation = Group + "/placement-requirements"
	// GroupLabel on a pod names the replica that it makes up together with others of its namespace, on several nodes. Pods of a LeaderWorkerSet need none.
	GroupLabel = Group + "/group"
	// GroupSizeAnnotation on such a pod is how many pods make up the replica, from 1 on.
	GroupSizeAnnotation = Group + "/group-size"
	// ShapeAnnotation on a PodTemplate that tells a node autoscaler of pods is a sum of what was written into it.
	ShapeAnnotation = Group + "/shape"
	// ClassLabel on a Deployment or StatefulSet names the ServiceClass that it serves: a Server is made of it.
	ClassLabel = Group + "/class"
	// AssumedAnnotation on a resource that was made of what nodes and pod templates say tells what of it is assumed, and by what.
	AssumedAnnotation = Group + "/assumed"
	// NameAnnotation on a resource keeps the name it has in the JSON specification where Kubernetes does not allow that name.
	NameAnnotation = Group + "/name"
	// ReconcileAnnotation on an Optimizer requests a cycle at once: any new value triggers one.
	ReconcileAnnotation = Group + "/reconcile-at"
)

// Condition types of a Server.
const (
	// ConditionObserved is True while the load of the server is known from measurements that are fresh.
	ConditionObserved = "Observed"
	// ConditionPlanned is True while the last cycle planned an allocation that meets the targets.
	ConditionPlanned = "Planned"
	// ConditionRealised is True when ready pods sit on the accelerators, in the numbers, that the plan says.
	ConditionRealised = "Realised"
	// ConditionAccepted of a Server is False while it, or the template of its pods, asks for what its service class does not allow.
	ConditionAccepted = "Accepted"
	// ConditionLearned of a Model is True while what was learned of its pairs predicts.
	ConditionLearned = "Learned"
	// ConditionReady summarises a Server (planned as its targets need, realised, observed), an Optimizer (its cycles run) and an Accelerator, Model or
	// ServiceClass (valid and used).
	ConditionReady = "Ready"
	// ConditionPodsCounted of an Optimizer is True while plans count every bound pod that bears the label of a Server as a replica of it.
	ConditionPodsCounted = "PodsCounted"
	// ConditionDevicesCounted of an Optimizer is False while fewer devices count than drivers publish; it is there where any are published.
	ConditionDevicesCounted = "DevicesCounted"
	// ConditionSharesKept of an Optimizer is True while its shares are as they are asked for; where it is False, plans keep what of them can be kept.
	ConditionSharesKept = "SharesKept"
	// ConditionElasticCounted of an Optimizer is True while plans may count on what spec.elasticFrom names; where it is False, on what was last read of it.
	ConditionElasticCounted = "ElasticCounted"
	// ConditionPodsStart of a Server is False while pods of it crash again and again, or their image or configuration is refused.
	ConditionPodsStart = "PodsStart"
	// ConditionLimitsHold of a Server is False while engines of it run more requests at a time than their pods say that they were started for.
	ConditionLimitsHold = "LimitsHold"
	// ConditionPodsAdmitted of a Server is False while a LimitRange of its namespace refuses pods of its.
	ConditionPodsAdmitted = "PodsAdmitted"
	// ConditionQueueAdmits of a Server is False while Kueue holds pods of it back, or takes some back for others.
	ConditionQueueAdmits = "QueueAdmits"
	// ConditionGated of a Server that is placed by gates is False while pods of it came without a gate, or no controller lifts gates.
	ConditionGated = "Gated"
	// ConditionGatesLifted of a Server is False while pods of it wait behind their gate for longer than a replica takes to start. The metrics adapter writes it.
	ConditionGatesLifted = "GatesLifted"
	// ConditionScaleInOrder of a Server is False while a scale-in is planned, and the kind of its workload (a StatefulSet, a LeaderWorkerSet) removes other pods
	// than those with the least work in hand.
	ConditionScaleInOrder = "ScaleInOrder"
	// ConditionCapacityAhead of a Server whose plan asks for capacity ahead of time is True while a node autoscaler has been told and stands by it; of an Optimizer
	// with spec.capacityAhead it is True while autoscalers can be told.
	ConditionCapacityAhead = "CapacityAhead"
	// ConditionTrafficWeights of a Server with spec.routeRef is True while that route splits requests over the variants as the plan does, as far as they are ready.
	ConditionTrafficWeights = "TrafficWeights"
	// ConditionAdopted of a Server that was made of a labelled workload is True while that workload follows its plan, ConditionAssumed while its plans rest on
	// what nobody gave, such as list prices.
	ConditionAdopted = "Adopted"
	ConditionAssumed = "Assumed"
	// ConditionWritten is True while all that cycles decide can be written: of an Optimizer to all objects and the decision log, of a Server to its pods.
	ConditionWritten = "Written"
)

// Reasons of conditions and events. Stable: alerts and scripts may match them.
const (
	ReasonObserved              = "Observed"
	ReasonNoMetrics             = "NoMetrics"
	ReasonStaleMetrics          = "StaleMetrics"
	ReasonPrometheusUnreachable = "PrometheusUnreachable"
	ReasonPartialMetrics        = "PartialMetrics"
	ReasonCounterFailed         = "CounterFailed"
	ReasonPlanned               = "Planned"
	ReasonPlanHeld              = "PlanHeld"
	ReasonBestEffort            = "BestEffort"
	ReasonInfeasible            = "Infeasible"
	ReasonNoCapacity            = "NoCapacity"
	ReasonUnknownModel          = "UnknownModel"
	ReasonUnknownServiceClass   = "UnknownServiceClass"
	ReasonNoTarget              = "NoTarget"
	ReasonClassNotAllowed       = "ClassNotAllowed"
	ReasonNotAllowed            = "NotAllowed"
	ReasonAccepted              = "Accepted"
	ReasonInvalidSpec           = "InvalidSpec"
	ReasonRealised              = "Realised"
	ReasonRealising             = "Realising"
	ReasonDryRun                = "DryRun"
	ReasonSuspended             = "Suspended"
	ReasonCycleSucceeded        = "CycleSucceeded"
	ReasonCycleFailed           = "CycleFailed"
	ReasonCycleDegraded         = "CycleDegraded"
	ReasonLimitsHold            = "LimitsHold"
	ReasonLimitsExceeded        = "LimitsExceeded"
	ReasonPodsStart             = "PodsStart"
	ReasonPodsFail              = "PodsFail"
	ReasonPodsAdmitted          = "PodsAdmitted"
	ReasonPodsRefused           = "PodsRefused"
	ReasonQueueAdmits           = "QueueAdmits"
	ReasonQueueHolds            = "QueueHolds"
	ReasonQueueEvicted          = "QueueEvicted"
	ReasonAllWritten            = "AllWritten"
	ReasonRefused               = "Refused"
	ReasonLeastLost             = "LeastLost"
	ReasonHighestFirst          = "HighestFirst"
	ReasonWeightsInPlace        = "WeightsInPlace"
	ReasonWeightsHeld           = "WeightsHeld"
	ReasonWeightsChanged        = "WeightsChanged"
	ReasonRouteNotFound         = "RouteNotFound"
	ReasonRouteInvalid          = "RouteInvalid"
	ReasonRouteShared           = "RouteShared"
	ReasonRoomKept              = "RoomKept"
	ReasonRoomAwaited           = "RoomAwaited"
	ReasonRoomLimited           = "RoomLimited"
	ReasonRoomRefused           = "RoomRefused"
	ReasonAutoscalersTold       = "AutoscalersTold"
	ReasonBuffersUnread         = "BuffersUnread"
	ReasonAllCounted            = "AllCounted"
	ReasonFewerDevices          = "FewerDevices"
	ReasonSharesKept            = "SharesKept"
	ReasonInvalidShares         = "InvalidShares"
	ReasonElasticCounted        = "ElasticCounted"
	ReasonElasticUnread         = "ElasticUnread"
	ReasonUncountedPods         = "UncountedPods"
	ReasonPlanChanged           = "PlanChanged"
	ReasonAdopted               = "Adopted"
	ReasonWorkloadUnreadable    = "WorkloadUnreadable"
	ReasonScaledByOthers        = "ScaledByOthers"
	ReasonLoadNotMeasured       = "LoadNotMeasured"
	ReasonNoMetricsAPI          = "NoMetricsAPI"
	ReasonAssumed               = "Assumed"
	ReasonAllGiven              = "AllGiven"
	ReasonGated                 = "Gated"
	ReasonUngated               = "Ungated"
	ReasonGateNotLifted         = "GateNotLifted"
	ReasonNoSeat                = "NoSeat"
	ReasonGatesOff              = "GatesOff"
	ReasonSeated                = "Seated"
	ReasonSeatTakenBack         = "SeatTakenBack"
	ReasonLearned               = "Learned"
	ReasonProbing               = "Probing"
	ReasonNothingLearned        = "NothingLearned"
	ReasonLearningRestarted     = "LearningRestarted"
	ReasonPredictionsFail       = "PredictionsFail"
)
