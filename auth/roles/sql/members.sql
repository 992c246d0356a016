-- Every membership. Before 16 there are no options per membership: any may be used with SET ROLE. Inheriting is then a
-- property of the member.
SELECT m.roleid::bigint  AS role,
       m.member::bigint  AS member,
       m.grantor::bigint AS grantor,
       m.admin_option    AS admin,
       coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) AS set,
       coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit) AS inherit
FROM pg_auth_members AS m
JOIN pg_roles AS r ON r.oid = m.member
