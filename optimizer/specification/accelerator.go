package specification

import (
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// acceleratorSpec writes an entry of the JSON specification as that of an Accelerator.
func acceleratorSpec(a *jsonspec.AcceleratorSpec) v1alpha1.AcceleratorSpec {
	spec := v1alpha1.AcceleratorSpec{
		Type: a.Type, Cards: a.Multiplicity, CostPerHour: v1alpha1.DecimalOf(a.Cost), InterruptionsPerHour: positive(a.InterruptionsPerHour),
		Memory: gigabytes(a.MemSize), MemoryBandwidth: gigabytes(a.MemBW), ProductNames: a.ProductNames, ResourceName: a.ResourceName, NodeSelector: a.NodeSelector,
	}
	if p := a.Power; p != (jsonspec.PowerCurve{}) {
		spec.Power = &v1alpha1.Power{
			Idle: v1alpha1.DecimalOf(p.Idle), Full: v1alpha1.DecimalOf(p.Full), Middle: positive(p.MidPower), MiddleUtilization: positive(p.MidUtil),
		}
	}
	return spec
}

// fromAcceleratorSpec writes an Accelerator as an entry of the JSON specification.
func fromAcceleratorSpec(a *v1alpha1.AcceleratorSpec) jsonspec.AcceleratorSpec {
	spec := jsonspec.AcceleratorSpec{
		AcceleratorProperties: jsonspec.AcceleratorProperties{
			Type: a.Type, Multiplicity: a.Cards, Cost: a.CostPerHour.Float(), InterruptionsPerHour: orZero(a.InterruptionsPerHour),
			MemSize: inGigabytes(a.Memory), MemBW: inGigabytes(a.MemoryBandwidth),
		},
		ProductNames: a.ProductNames, ResourceName: a.ResourceName, NodeSelector: a.NodeSelector,
	}
	if p := a.Power; p != nil {
		spec.Power = jsonspec.PowerCurve{Idle: p.Idle.Float(), Full: p.Full.Float(), MidPower: orZero(p.Middle), MidUtil: orZero(p.MiddleUtilization)}
	}
	return spec
}
