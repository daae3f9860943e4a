package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// The page of advise, whose names would run if they could, is read wide and narrow: it asks for nothing, runs nothing, and has its pictures at a size that can be
// read; what is too wide for a phone is moved in its place, and the page is not.
func TestAdvice(t *testing.T) {
	text, err := os.ReadFile("../data/advice/report.html")
	if err != nil {
		t.Fatal(err)
	}
	var others atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(text)
		case "/favicon.ico": // the browser's own wish
			w.WriteHeader(http.StatusNoContent)
		default:
			others.Add(1)
		}
	}))
	t.Cleanup(server.Close)
	for _, size := range [][2]int{{1280, 900}, {400, 800}} {
		t.Run(fmt.Sprint(size[0]), func(t *testing.T) {
			b := open(t, server.URL, size[0], size[1])
			b.run(chromedp.Navigate(server.URL + "/"))
			b.says("what inferno would have done", "inferno would have cost", "how well the laws fit", "<script")
			faults := eval[[]string](b, `(() => {
				const faults = [], pictures = [...document.querySelectorAll("svg[role=img]")];
				if (pictures.length !== 5) faults.push(pictures.length + " pictures");
				for (const p of pictures) {
					const box = p.getBoundingClientRect();
					if (!(box.width > 300 && box.height > 90)) faults.push("a picture of " + box.width + " by " + box.height);
					if (!p.querySelector("polyline, circle")) faults.push("a picture of nothing: " + p.getAttribute("aria-label"));
					for (const w of p.querySelectorAll("text")) if (w.textContent && w.getBoundingClientRect().height < 9) faults.push("small text: " + w.textContent);
				}
				for (const c of document.querySelectorAll("td, th")) if (c.textContent.length > 3 && c.getBoundingClientRect().width < 40) faults.push("a narrow cell: " + c.textContent);
				if (document.documentElement.scrollWidth > innerWidth) faults.push("the page scrolls to the side: " + document.documentElement.scrollWidth + " of " + innerWidth);
				if (document.scripts.length || document.querySelector("img, link, iframe")) faults.push("it has elements that load or run");
				return faults;
			})()`)
			for _, f := range faults {
				t.Error(f)
			}
		})
	}
	if n := others.Load(); n > 0 {
		t.Errorf("the page asked for %d things", n)
	}
}
