package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
	"mvdan.cc/sh/v3/syntax"
)

// word of a command, or the value of a variable: its text, and why that is not all of it where a part cannot be known.
type word struct{ text, missing string }

// container with what it runs, as far as the template says.
type container struct {
	spec        *corev1.Container
	template    *corev1.PodTemplateSpec
	environment map[string]word
	// commands are what it runs: one, or those of a shell's script. Without a command, that of the image runs with the words as arguments.
	commands   [][]word
	fromImage  bool
	unreadable []string
}

func readContainer(t *corev1.PodTemplateSpec, spec *corev1.Container) *container {
	c := &container{spec: spec, template: t, environment: map[string]word{}, fromImage: len(spec.Command) == 0}
	for _, from := range spec.EnvFrom {
		switch {
		case from.ConfigMapRef != nil:
			c.unreadable = append(c.unreadable, fmt.Sprintf("variables of ConfigMap %q", from.ConfigMapRef.Name))
		case from.SecretRef != nil:
			c.unreadable = append(c.unreadable, fmt.Sprintf("variables of Secret %q", from.SecretRef.Name))
		}
	}
	for i := range spec.Env {
		c.environment[spec.Env[i].Name] = c.variable(&spec.Env[i])
	}
	words := make([]word, 0, len(spec.Command)+len(spec.Args))
	for _, text := range slices.Concat(spec.Command, spec.Args) {
		words = append(words, c.expand(text))
	}
	c.commands = c.run(words, deepest)
	return c
}

// deepest is how many shells within shells are read.
//
// Tuned: shells; guard against a script that calls itself
const deepest = 4

// variable as it is when the container starts. Variables may refer to those before them.
func (c *container) variable(e *corev1.EnvVar) word {
	source := e.ValueFrom
	switch {
	case source == nil:
		return c.expand(e.Value)
	case source.FieldRef != nil:
		return c.field(source.FieldRef.FieldPath)
	case source.ConfigMapKeyRef != nil:
		return word{missing: fmt.Sprintf("key %q of ConfigMap %q is not in the template", source.ConfigMapKeyRef.Key, source.ConfigMapKeyRef.Name)}
	case source.SecretKeyRef != nil:
		return word{missing: fmt.Sprintf("key %q of Secret %q is not in the template", source.SecretKeyRef.Key, source.SecretKeyRef.Name)}
	case source.ResourceFieldRef != nil:
		return word{missing: fmt.Sprintf("resource %q is not in the template", source.ResourceFieldRef.Resource)}
	}
	return word{missing: "its source is not known"}
}

// subscript is a field path of one annotation or label.
var subscript = regexp.MustCompile(`^metadata\.(annotations|labels)\['([^']*)'\]$`)

// field of the pod, of which the template has annotations and labels.
func (c *container) field(path string) word {
	if m := subscript.FindStringSubmatch(path); m != nil {
		values := c.template.Annotations
		if m[1] == "labels" {
			values = c.template.Labels
		}
		if v, ok := values[m[2]]; ok {
			return word{text: v}
		}
	}
	return word{missing: fmt.Sprintf("%s is known of the pod alone", path)}
}

// expand references to variables as the kubelet does: those that do not exist stay as they are.
func (c *container) expand(text string) word {
	var w word
	w.text = expansion.Expand(text, func(name string) string {
		v, ok := c.environment[name]
		switch {
		case ok && v.missing != "":
			w.missing = fmt.Sprintf("variable %s: %s", name, v.missing)
		case !ok && len(c.unreadable) > 0:
			w.missing = fmt.Sprintf("variable %s: may be among the %s", name, strings.Join(c.unreadable, ", "))
		case !ok:
			return "$(" + name + ")"
		}
		return v.text
	})
	return w
}

// shells run a script that follows the option -c.
var shells = []string{"sh", "bash", "ash", "dash", "zsh"}

// run says which commands words are: themselves, or where they start a shell with a script, those of the script.
func (c *container) run(words []word, deep int) [][]word {
	for i, w := range words {
		if !slices.Contains(shells, base(w.text)) {
			continue
		}
		for k := i + 1; k < len(words) && strings.HasPrefix(words[k].text, "-"); k++ {
			if o := words[k].text; !strings.HasPrefix(o, "--") && strings.HasSuffix(o, "c") && k+1 < len(words) {
				return c.script(words[k+1].text, deep-1)
			}
		}
		break
	}
	if len(words) == 0 {
		return nil
	}
	if words[0].text == "eval" {
		var all []string
		for _, w := range words[1:] {
			all = append(all, w.text)
		}
		return c.script(strings.Join(all, " "), deep-1)
	}
	return [][]word{words}
}

// script of a shell, split into commands and words; only words, quotes and simple variables are understood.
func (c *container) script(text string, deep int) [][]word {
	if deep < 0 {
		return nil
	}
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		c.unreadable = append(c.unreadable, fmt.Sprintf("its script, which is no shell's: %v", err))
		return nil
	}
	var commands [][]word
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Assign: // of the script, from here on
			if n.Name != nil && n.Value != nil && n.Index == nil && !n.Append {
				c.environment[n.Name.Value] = c.joined(n.Value.Parts)
			}
		case *syntax.CallExpr:
			for _, a := range n.Assigns {
				if a.Name != nil && a.Value != nil {
					c.environment[a.Name.Value] = c.joined(a.Value.Parts)
				}
			}
			var words []word
			for _, a := range n.Args {
				words = append(words, c.split(a)...)
			}
			if len(words) > 0 {
				commands = append(commands, c.run(words, deep)...)
			}
			return false
		}
		return true
	})
	return commands
}

// split a word of a script: a variable without quotes may be several words, or none.
func (c *container) split(w *syntax.Word) []word {
	if len(w.Parts) == 1 {
		if p, is := w.Parts[0].(*syntax.ParamExp); is {
			whole := c.parameter(p)
			var words []word
			for _, text := range strings.Fields(whole.text) {
				words = append(words, word{text: text})
			}
			if whole.missing != "" {
				words = append(words, word{missing: whole.missing})
			}
			return words
		}
	}
	return []word{c.joined(w.Parts)}
}

// computed stands in a script for what is not known of it, for a shell that reads it again.
const computed = "$((0))"

func (c *container) joined(parts []syntax.WordPart) word {
	var all word
	for _, p := range parts {
		var next word
		switch p := p.(type) {
		case *syntax.Lit:
			next.text = unescaped(p.Value)
		case *syntax.SglQuoted:
			next.text = p.Value
		case *syntax.DblQuoted:
			next = c.joined(p.Parts)
		case *syntax.ParamExp:
			if next = c.parameter(p); next.missing != "" {
				next.text = computed
			}
		default:
			next = word{computed, "the shell computes it"}
		}
		if all.text += next.text; next.missing != "" {
			all.missing = next.missing
		}
	}
	return all
}

// parameter of a script: $NAME, ${NAME} and ${NAME:-otherwise}.
func (c *container) parameter(p *syntax.ParamExp) word {
	if p.Param == nil || p.Excl || p.Length || p.Width || p.Index != nil || p.Slice != nil || p.Repl != nil {
		return word{missing: "the shell computes it"}
	}
	name := p.Param.Value
	v, ok := c.environment[name]
	if p.Exp != nil {
		if p.Exp.Op != syntax.DefaultUnset && p.Exp.Op != syntax.DefaultUnsetOrNull && p.Exp.Op != syntax.AssignUnset && p.Exp.Op != syntax.AssignUnsetOrNull {
			return word{missing: fmt.Sprintf("the shell computes it from variable %s", name)}
		}
		if !ok || v == (word{}) {
			if p.Exp.Word == nil {
				return word{}
			}
			return c.joined(p.Exp.Word.Parts)
		}
	}
	switch {
	case !ok:
		return word{missing: fmt.Sprintf("variable %s: is not in the template", name)}
	case v.missing != "":
		return word{missing: fmt.Sprintf("variable %s: %s", name, v.missing)}
	}
	return word{text: v.text}
}

// unescaped literal of a script.
func unescaped(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// base of a path.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
