// A module of its own: nothing else of pgtier needs lib/pq.
module github.com/pgtier/pgtier/integration/clients/matrix/lib-pq

go 1.26

require github.com/lib/pq v1.12.3
