package main
import "github.com/minio/madmin-go/v3"
func main(){ _, _ = madmin.New("","","",false)}
