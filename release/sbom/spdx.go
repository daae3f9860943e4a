// Package sbom lists what a Go program consists of, as SPDX 2.3 in JSON, from what the compiler wrote into the binary.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/llm-inferno/inferno/release/licences"
)

// Document of SPDX.
type Document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      CreationInfo   `json:"creationInfo"`
	Packages          []Package      `json:"packages"`
	Relationships     []Relationship `json:"relationships"`
}

// CreationInfo says who made the document and when.
type CreationInfo struct {
	Created  time.Time `json:"created"`
	Creators []string  `json:"creators"`
}

// Package is a Go module, the Go standard library, or the program itself.
type Package struct {
	Name             string        `json:"name"`
	SPDXID           string        `json:"SPDXID"`
	VersionInfo      string        `json:"versionInfo"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	Checksums        []Checksum    `json:"checksums,omitempty"`
	ExternalRefs     []ExternalRef `json:"externalRefs,omitempty"`
}

// Checksum of a package's file.
type Checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

// ExternalRef names a package for other tools.
type ExternalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

// Relationship of two packages.
type Relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// Of a program in a file: the program with its version and licence, and every part that it was linked from. created is the time of the commit.
func Of(file, version, licence string, parts []licences.Part, created time.Time) (*Document, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	name := info.Path[strings.LastIndex(info.Path, "/")+1:]
	d := &Document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: name + " " + version,
		DocumentNamespace: fmt.Sprintf("https://%s/spdx/%s/%s", info.Path, version, hex.EncodeToString(sum[:])),
		CreationInfo:      CreationInfo{Created: created.UTC().Truncate(time.Second), Creators: []string{"Tool: inferno-release"}},
	}
	program := module(info.Main.Path, version, licence)
	program.Name, program.SPDXID = name, "SPDXRef-program"
	program.Checksums = []Checksum{{"SHA256", hex.EncodeToString(sum[:])}}
	d.add(program, Relationship{d.SPDXID, "DESCRIBES", program.SPDXID})
	for _, part := range parts {
		p := module(part.Path, part.Version, part.Licence)
		d.add(p, Relationship{program.SPDXID, "DEPENDS_ON", p.SPDXID})
	}
	return d, nil
}

// JSON of the document, indented.
func (d *Document) JSON() ([]byte, error) { return json.MarshalIndent(d, "", "  ") }

func (d *Document) add(p Package, r Relationship) {
	d.Packages = append(d.Packages, p)
	d.Relationships = append(d.Relationships, r)
}

func module(path, version, licence string) Package {
	p := Package{
		Name: path, SPDXID: "SPDXRef-" + identifier(path+"-"+version), VersionInfo: version, DownloadLocation: "NOASSERTION",
		LicenseConcluded: licence, LicenseDeclared: licence, CopyrightText: "NOASSERTION",
	}
	p.ExternalRefs = []ExternalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + strings.ToLower(path) + "@" + version}}
	return p
}

// identifier keeps what SPDX allows in one: letters, numbers, points and hyphens.
func identifier(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, text)
}
