package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// A member of an archive.
type member struct {
	name string
	data []byte
	mode os.FileMode
}

// archive packs members as .tar.gz, or .zip for Windows. Equal members and times give equal archives.
func archive(windows bool, members []member, modified time.Time) ([]byte, error) {
	if windows {
		return zipped(members, modified)
	}
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	writer := tar.NewWriter(compressed)
	for _, m := range members {
		if err := writer.WriteHeader(&tar.Header{Name: m.name, Mode: int64(m.mode), Size: int64(len(m.data)), ModTime: modified, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := writer.Write(m.data); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	err = compressed.Close()
	return out.Bytes(), err
}

func zipped(members []member, modified time.Time) ([]byte, error) {
	var out bytes.Buffer
	writer := zip.NewWriter(&out)
	for _, m := range members {
		header := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: modified}
		header.SetMode(m.mode)
		file, err := writer.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := file.Write(m.data); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return out.Bytes(), err
}

// commandLine packs the program for the command line, with its licence and those of others, under the names that its users type: inferno, and kubectl-inferno by krew.
func (r revision) commandLine(binary string, others []byte, on platform) ([]byte, string, error) {
	program, errProgram := os.ReadFile(binary)
	terms, errTerms := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err := errors.Join(errProgram, errTerms); err != nil {
		return nil, "", err
	}
	name := "inferno_" + r.version + "_" + on.os + "_" + on.arch
	extension, executable := ".tar.gz", "inferno"
	if on.os == "windows" {
		extension, executable = ".zip", "inferno.exe"
	}
	data, err := archive(on.os == "windows", []member{{executable, program, 0o755}, {"LICENSE", terms, 0o644}, {"THIRD-PARTY-LICENSES", others, 0o644}}, r.time)
	return data, name + extension, err
}
