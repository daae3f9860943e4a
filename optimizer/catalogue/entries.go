package catalogue

// entries are the types that ship with inferno. Product names are what the vendors' labellers write: NVIDIA's GPU feature discovery takes
// the device name from NVML and writes blanks as "-", AMD's node labeller takes the marketing name and writes blanks as "_", GKE has names
// of its own. A card that reports another name is declared by spec.productNames of its Accelerator.
//
// Time-sliced cards (product names that end in -SHARED) are left out on purpose: a share of a card is not the card that was measured.
var entries = []Entry{
	{"A10", []string{"NVIDIA-A10"}, NVIDIAResource},
	{"A10G", []string{"NVIDIA-A10G"}, NVIDIAResource},
	{"A30", []string{"NVIDIA-A30"}, NVIDIAResource},
	{"A40", []string{"NVIDIA-A40"}, NVIDIAResource},
	{"A100", []string{
		"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-PCIE-40GB", "NVIDIA-A100-80GB-PCIe",
		"A100-SXM4-40GB", "A100-PCIE-40GB", "nvidia-tesla-a100", "nvidia-a100-80gb",
	}, NVIDIAResource},
	{"A100-40GB", []string{
		"NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-PCIE-40GB", "A100-SXM4-40GB", "A100-PCIE-40GB", "nvidia-tesla-a100",
	}, NVIDIAResource},
	{"A100-80GB", []string{"NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe", "nvidia-a100-80gb"}, NVIDIAResource},
	{"B200", []string{"NVIDIA-B200", "nvidia-b200"}, NVIDIAResource},
	{"B300", []string{"NVIDIA-B300", "NVIDIA-B300-SXM6-AC"}, NVIDIAResource},
	{"GB200", []string{"NVIDIA-GB200", "nvidia-gb200"}, NVIDIAResource},
	{"GB300", []string{"NVIDIA-GB300", "nvidia-gb300"}, NVIDIAResource},
	{"GH200", []string{"NVIDIA-GH200-480GB", "NVIDIA-GH200-144G-HBM3e"}, NVIDIAResource},
	{"H100", []string{
		"NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe", "NVIDIA-H100-NVL", "nvidia-h100-80gb", "nvidia-h100-mega-80gb",
	}, NVIDIAResource},
	{"H20", []string{"NVIDIA-H20"}, NVIDIAResource},
	{"H200", []string{"NVIDIA-H200", "NVIDIA-H200-NVL", "nvidia-h200-141gb"}, NVIDIAResource},
	{"L4", []string{"NVIDIA-L4", "nvidia-l4"}, NVIDIAResource},
	{"L40", []string{"NVIDIA-L40"}, NVIDIAResource},
	{"L40S", []string{"NVIDIA-L40S"}, NVIDIAResource},
	{"RTX-PRO-6000", []string{"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "nvidia-rtx-pro-6000"}, NVIDIAResource},
	{"T4", []string{"Tesla-T4", "NVIDIA-T4", "nvidia-tesla-t4"}, NVIDIAResource},
	{"V100", []string{
		"Tesla-V100-SXM2-16GB", "Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-16GB", "Tesla-V100-PCIE-32GB", "nvidia-tesla-v100",
	}, NVIDIAResource},
	{"MI100", []string{"AMD_Instinct_MI100"}, AMDResource},
	{"MI210", []string{"AMD_Instinct_MI210"}, AMDResource},
	{"MI250", []string{"AMD_Instinct_MI250", "AMD_Instinct_MI250X_MI250"}, AMDResource},
	{"MI250X", []string{"AMD_Instinct_MI250X", "AMD_Instinct_MI250X_MI250"}, AMDResource},
	{"MI300A", []string{"AMD_Instinct_MI300A"}, AMDResource},
	{"MI300X", []string{"AMD_Instinct_MI300X_OAM", "AMD_Instinct_MI300X", "AMD_Instinct_MI300X_HF"}, AMDResource},
	{"MI325X", []string{"AMD_Instinct_MI325_OAM", "AMD_Instinct_MI325X"}, AMDResource},
	{"MI350X", []string{"AMD_Instinct_MI350_OAM", "AMD_Instinct_MI350X"}, AMDResource},
	{"MI355X", []string{"AMD_Instinct_MI355_OAM", "AMD_Instinct_MI355X"}, AMDResource},
}
