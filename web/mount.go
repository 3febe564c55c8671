// Package web hosts a realtime server on Gin: routes, probes, metrics, the page
// and listeners.
package web

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// Mount routes all requests at path and below, such as "/socket.io", to h,
// whatever their method. There is no redirect between /socket.io and
// /socket.io/: clients don't follow one.
//
//	router := gin.New()
//	web.Mount(router, "/socket.io", io)
func Mount(r gin.IRouter, path string, h http.Handler) {
	path = "/" + strings.Trim(path, "/")
	handle := gin.WrapH(h)
	r.Any(path, handle)
	r.Any(path+"/*any", handle)
}
