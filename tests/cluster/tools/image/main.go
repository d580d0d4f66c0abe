// Command image packs a directory into an OCI image layout, as one tar that
// `ctr images import` takes. The same directory and configuration give the same
// bytes: entries are sorted, times are zero, every file belongs to root.
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// settings is what a recipe says about its image (the "config" of the OCI
// image specification, with its field names).
type settings struct {
	User       string   `json:"User,omitempty"`
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
	WorkingDir string   `json:"WorkingDir,omitempty"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type rootfs struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type imageConfig struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	Config       settings `json:"config"`
	RootFS       rootfs   `json:"rootfs"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	Manifests     []descriptor `json:"manifests"`
}

const (
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
)

func main() {
	name := flag.String("name", "", "full image name, registry and tag included")
	root := flag.String("root", "", "directory that becomes the image's file system")
	config := flag.String("config", "", "JSON file: User, Env, Entrypoint, Cmd, WorkingDir")
	output := flag.String("output", "", "the tar to write; its manifest's digest goes to standard output")
	architecture := flag.String("architecture", "amd64", "architecture of the image")
	flag.Parse()
	if *name == "" || *root == "" || *config == "" || *output == "" {
		flag.Usage()
		os.Exit(2)
	}
	digest, err := pack(*name, *root, *config, *output, *architecture)
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

func pack(name, root, config, output, architecture string) (digest string, err error) {
	var wanted settings
	text, err := os.ReadFile(config)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &wanted); err != nil {
		return "", fmt.Errorf("%s: %w", config, err)
	}
	layer, err := os.CreateTemp(filepath.Dir(output), "layer-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()
	layerDescriptor, err := writeLayer(layer, root)
	if err != nil {
		return "", err
	}
	configBytes := encode(imageConfig{architecture, "linux", wanted, rootfs{"layers", []string{layerDescriptor.Digest}}})
	manifestBytes := encode(manifest{2, typeManifest, describe(typeConfig, configBytes), []descriptor{layerDescriptor}})
	named := describe(typeManifest, manifestBytes)
	// containerd names the imported image after this annotation, whole.
	named.Annotations = map[string]string{"io.containerd.image.name": name}

	file, err := os.Create(output)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	archive := tar.NewWriter(file)
	for _, blob := range []struct {
		path  string
		bytes []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", encode(index{2, []descriptor{named}})},
		{blobPath(named.Digest), manifestBytes},
		{blobPath(describe(typeConfig, configBytes).Digest), configBytes},
	} {
		if err := archive.WriteHeader(regular(blob.path, int64(len(blob.bytes)))); err != nil {
			return "", err
		}
		if _, err := archive.Write(blob.bytes); err != nil {
			return "", err
		}
	}
	if err := archive.WriteHeader(regular(blobPath(layerDescriptor.Digest), layerDescriptor.Size)); err != nil {
		return "", err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	if _, err := io.Copy(archive, layer); err != nil {
		return "", err
	}
	return named.Digest, archive.Close()
}

// writeLayer writes the directory as a layer. filepath.WalkDir goes through it
// in lexical order, so the layer is a function of the directory's content.
func writeLayer(to io.Writer, root string) (descriptor, error) {
	counter := &counter{to: to, sum: sha256.New()}
	archive := tar.NewWriter(counter)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		return writeEntry(archive, root, path, entry)
	})
	if err = errors.Join(err, archive.Close()); err != nil {
		return descriptor{}, err
	}
	return descriptor{MediaType: typeLayer, Digest: "sha256:" + hex.EncodeToString(counter.sum.Sum(nil)), Size: counter.size}, nil
}

func writeEntry(archive *tar.Writer, root, path string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	header.Name = relative
	if info.IsDir() {
		header.Name += "/"
	}
	header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
	header.ModTime, header.AccessTime, header.ChangeTime = time.Unix(0, 0), time.Time{}, time.Time{}
	header.Format = tar.FormatPAX
	if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(archive, file)
	return err
}

type counter struct {
	to   io.Writer
	sum  hash.Hash
	size int64
}

func (c *counter) Write(bytes []byte) (int, error) {
	c.sum.Write(bytes)
	written, err := c.to.Write(bytes)
	c.size += int64(written)
	return written, err
}

func regular(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

func describe(mediaType string, bytes []byte) descriptor {
	sum := sha256.Sum256(bytes)
	return descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(bytes))}
}

func blobPath(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }

func encode(value any) []byte {
	bytes, err := json.Marshal(value)
	if err != nil {
		panic(err) // only plain structs reach this
	}
	return bytes
}
